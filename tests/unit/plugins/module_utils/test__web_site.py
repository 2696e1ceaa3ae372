# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme
from ansible_collections.homecloud.k3s.plugins.module_utils._web_site import (
    NO_ANSWER,
    Certificate,
    Sight,
    Site,
    look,
    site_of,
    trusting,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "mysite.example.org"
TODAY = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@pytest.fixture(name="authority", scope="module")
def authority_fixture() -> trustme.CA:
    return trustme.CA(organization_name="An authority")


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/moved": 308, "/broken": 502}.get(self.path, 200))
        if self.path == "/moved":
            self.send_header("Location", "https://elsewhere.example.org/")
        self.end_headers()
        self.wfile.write(f"{self.headers['Host']} {self.path}\nand more\n".encode())

    def log_message(self, *_args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: object) -> None:
        """A client that ends the connection is none."""


class Serve(t.Protocol):
    def __call__(
        self, leaf: ssl.SSLContext | None = None, pages: type[BaseHTTPRequestHandler] = Pages, host: str = "127.0.0.1"
    ) -> int: ...


@pytest.fixture(name="serve")
def serve_fixture() -> Iterator[Serve]:
    """Serve pages, by HTTPS if there is a context for it, and tell on which port."""
    servers: list[Server] = []

    def serve(
        leaf: ssl.SSLContext | None = None, pages: type[BaseHTTPRequestHandler] = Pages, host: str = "127.0.0.1"
    ) -> int:
        kind = type("ServerV6", (Server,), {"address_family": socket.AF_INET6}) if ":" in host else Server
        server = kind((host, 0), pages)
        servers.append(server)
        if leaf:
            server.socket = leaf.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return int(server.server_address[1])

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(made)
    return made


def pem(authority: trustme.CA) -> str:
    return str(authority.cert_pem.bytes(), "ascii")


def seen(target: Site, ca: str = "", timeout: float = 5) -> Sight:
    (sight,) = look([target], trusting(ca), timeout)
    return sight


def test_a_site_without_encryption(serve: Serve) -> None:
    port = serve()
    assert seen(site_of(f"http://{NAME}:{port}/a page?q=ü#part", "127.0.0.1")) == Sight(
        url=f"http://{NAME}:{port}/a page?q=ü#part",
        address="127.0.0.1",
        http_status=200,
        first_line=f"{NAME}:{port} /a%20page?q=%C3%BC",
    )


def test_a_query_needs_no_path(serve: Serve) -> None:
    assert seen(site_of(f"http://{NAME}:{serve()}?q=1", "127.0.0.1")).first_line.endswith(" /?q=1")


def test_a_redirection_is_told_and_not_followed(serve: Serve) -> None:
    sight = seen(site_of(f"http://{NAME}:{serve()}/moved", "127.0.0.1"))
    assert (sight.http_status, sight.location) == (308, "https://elsewhere.example.org/")


def test_a_name_is_resolved_where_there_is_no_address(serve: Serve) -> None:
    sight = seen(site_of(f"http://localhost:{serve()}", None))
    assert (sight.http_status, sight.address, sight.error) == (200, "127.0.0.1", "")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://mysite.example.org/", "mysite.example.org"),
        ("http://mysite.example.org:443/", "mysite.example.org:443"),
        ("https://MySite.example.org:443/", "mysite.example.org"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://[fd00::1]/", "[fd00::1]"),
        ("http://mysite.example.org", "mysite.example.org"),
    ],
)
def test_the_host_is_asked_for_as_by_a_browser(
    url: str, host: str, serve: Serve, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ("127.0.0.1", serve(context(authority.issue_cert(NAME)) if url.startswith("https") else None))
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda _there, timeout: connect(here, timeout))
    assert seen(site_of(url, None)).first_line == f"{host} /"


def test_a_certificate_that_is_trusted(serve: Serve, authority: trustme.CA) -> None:
    end = TODAY.replace(microsecond=0) + 30 * DAY
    port = serve(context(authority.issue_cert(NAME, "www.example.org", not_after=end)))
    sight = seen(site_of(f"https://{NAME}:{port}/", "127.0.0.1"), pem(authority))
    assert sight.certificate == Certificate(
        names=[NAME, "www.example.org"],
        issuer="An authority",
        not_after=end.isoformat(),
        days_left=29,
        self_signed=False,
        valid=True,
        trusted=True,
        problem="",
    )
    assert (sight.http_status, sight.first_line, sight.error) == (200, f"{NAME}:{port} /", "")
    assert sight.is_well


@pytest.mark.parametrize(
    ("names", "start", "end", "problem"),
    [
        (["other.example.org", "10.1.2.3"], -1, 1, "for other names: other.example.org, 10.1.2.3"),
        ([NAME], -3, -2, f"ended on {TODAY - 2 * DAY:%Y-%m-%d}"),
        ([NAME], 2, 3, f"valid only from {TODAY + 2 * DAY:%Y-%m-%d} on"),
    ],
)
def test_a_certificate_that_does_not_fit(
    names: list[str], start: int, end: int, problem: str, serve: Serve, authority: trustme.CA
) -> None:
    leaf = authority.issue_cert(*names, not_before=TODAY + start * DAY, not_after=TODAY + end * DAY)
    sight = seen(site_of(f"https://{NAME}:{serve(context(leaf))}/", "127.0.0.1"), pem(authority))
    assert sight.certificate
    assert (sight.certificate.trusted, sight.certificate.problem) == (False, problem)
    assert (sight.certificate.names, sight.certificate.days_left) == (names, end - 1)
    assert sight.http_status == 200, "a certificate that is not trusted ends no look"
    assert not sight.is_well


def test_an_address_is_no_name_of_a_certificate(serve: Serve, authority: trustme.CA) -> None:
    port = serve(context(authority.issue_cert(NAME)))
    sight = seen(site_of(f"https://127.0.0.1:{port}/", None), pem(authority))
    assert sight.certificate
    assert sight.certificate.problem == f"for other names: {NAME}"


def test_an_authority_that_is_not_trusted(serve: Serve, authority: trustme.CA) -> None:
    port = serve(context(trustme.CA(organization_name="Pretenders").issue_cert(NAME)))
    sight = seen(site_of(f"https://{NAME}:{port}/", "127.0.0.1"), pem(authority))
    assert sight.certificate
    assert sight.certificate.problem == "of an authority that is not trusted: Pretenders"
    assert (sight.certificate.names, sight.http_status) == ([NAME], 200)


def test_an_authority_that_is_in_the_chain_is_not_trusted_for_that(serve: Serve) -> None:
    untrusted = trustme.CA(organization_name="Pretenders")
    own = untrusted.issue_cert(NAME)
    leaf = trustme.LeafCert(own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes(), [untrusted.cert_pem.bytes()])
    sight = seen(site_of(f"https://{NAME}:{serve(context(leaf))}/", "127.0.0.1"))
    assert sight.certificate
    assert sight.certificate.problem == "of an authority that is not trusted: Pretenders"


def test_a_certificate_that_is_self_signed(serve: Serve) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "TRAEFIK DEFAULT CERT")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    signed = made.not_valid_before(TODAY - DAY).not_valid_after(TODAY + DAY).sign(key, hashes.SHA256())
    pems = (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        signed.public_bytes(Encoding.PEM),
    )
    sight = seen(site_of(f"https://{NAME}:{serve(context(trustme.LeafCert(*pems, [])))}/", "127.0.0.1"))
    assert sight.certificate
    assert sight.certificate.problem == "self-signed (TRAEFIK DEFAULT CERT)"
    assert (sight.certificate.names, sight.certificate.issuer) == ([], "TRAEFIK DEFAULT CERT")
    assert sight.http_status == 200


def test_a_certificate_that_is_another_each_time_is_not_read(serve: Serve) -> None:
    others = [context(trustme.CA().issue_cert(NAME)) for _number in range(3)]

    def another(line: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        line.context = others.pop()

    changing = context(trustme.CA().issue_cert(NAME))
    changing.sni_callback = another
    sight = seen(site_of(f"https://{NAME}:{serve(changing)}/", "127.0.0.1"))
    assert sight.error == "the certificate cannot be read: unable to get local issuer certificate"
    assert (sight.certificate, sight.http_status) == (None, NO_ANSWER)


def test_another_reason_is_told_in_the_words_of_openssl(serve: Serve, authority: trustme.CA) -> None:
    port = serve(context(authority.issue_cert(NAME)))
    trust = trusting(pem(authority))
    trust.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    (sight,) = look([site_of(f"https://{NAME}:{port}/", "127.0.0.1")], trust, 5)
    assert sight.certificate
    assert sight.certificate.problem == "unable to get certificate CRL"


def test_a_site_at_an_ipv6_address(serve: Serve, authority: trustme.CA) -> None:
    port = serve(context(authority.issue_cert("::1")), host="::1")
    sight = seen(site_of(f"https://[::1]:{port}/", None), pem(authority))
    assert (sight.error, sight.address, sight.first_line) == ("", "::1", f"[::1]:{port} /")
    assert sight.is_well


def test_sites_are_looked_at_side_by_side(serve: Serve) -> None:
    barrier = threading.Barrier(3)

    class Waiting(Pages):
        def do_GET(self) -> None:
            barrier.wait(10)  # until all three are asked
            super().do_GET()

    port = serve(pages=Waiting)
    sites = [site_of(f"http://127.0.0.1:{port}/{number}", None) for number in range(3)]
    sights = look(sites, trusting(""), 20)
    assert [sight.first_line for sight in sights] == [f"127.0.0.1:{port} /{number}" for number in range(3)]


def test_no_site_is_no_sight() -> None:
    assert look([], trusting(""), 1) == []


class Silent(BaseHTTPRequestHandler):
    def handle(self) -> None:
        self.request.recv(1000)
        self.request.recv(1000)  # until the client goes


class Leaving(BaseHTTPRequestHandler):
    def handle(self) -> None:
        self.request.recv(1000)


class Talking(BaseHTTPRequestHandler):
    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"220 mail.example.org ESMTP\r\n")


@pytest.mark.parametrize(
    ("scheme", "pages", "error"),
    [
        ("http", Silent, "127.0.0.1:{} does not answer in time"),
        ("https", Silent, "127.0.0.1:{} does not answer in time"),
        ("http", Leaving, "127.0.0.1:{} ends the connection without an answer"),
        ("http", Talking, "127.0.0.1:{} does not answer by HTTP"),
        ("https", Pages, "127.0.0.1:{} does not agree on TLS: wrong version number"),
    ],
)
def test_what_keeps_a_site_from_answering(
    scheme: str, pages: type[BaseHTTPRequestHandler], error: str, serve: Serve
) -> None:
    port = serve(pages=pages)
    url = f"{scheme}://{NAME}:{port}/"
    sight = seen(site_of(url, "127.0.0.1"), timeout=0.2 if pages is Silent else 5)
    assert sight.error == error.format(port)
    assert (sight.http_status, sight.certificate, sight.is_well) == (NO_ANSWER, None, False)


def test_a_certificate_is_told_also_where_no_page_comes(serve: Serve, authority: trustme.CA) -> None:
    port = serve(context(authority.issue_cert(NAME)), pages=Leaving)
    sight = seen(site_of(f"https://{NAME}:{port}/", "127.0.0.1"), pem(authority))
    assert sight.error == f"127.0.0.1:{port} ends the connection without an answer"
    assert sight.certificate
    assert sight.certificate.trusted
    assert not sight.is_well


def test_a_port_where_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    sight = seen(site_of(f"http://{NAME}:{port}/", "127.0.0.1"))
    assert (sight.address, sight.error) == ("127.0.0.1", f"127.0.0.1:{port} refuses the connection")


def test_a_name_that_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> t.NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    sight = seen(site_of(f"http://{NAME}/", None))
    assert (sight.address, sight.error) == ("", f"the name {NAME} cannot be resolved")


def test_another_reason_is_told_in_the_words_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> t.NoReturn:
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket, "create_connection", fail)
    assert seen(site_of("http://[fd00::1]/", None)).error == "[fd00::1]:80: No route to host"


@pytest.mark.parametrize(("status", "is_well"), [(NO_ANSWER, False), (200, True), (404, True), (502, False)])
def test_a_site_is_well_if_it_answers(status: int, is_well: bool) -> None:
    assert Sight("http://a/", "", http_status=status).is_well is is_well


@pytest.mark.parametrize(
    "url",
    [
        "",
        NAME,
        "ftp://mysite.example.org/",
        "https:///path",
        "https://user:secret@mysite.example.org/",
        "https://mysite.example.org:port/",
        "https://mysite.example.org:70000/",
        "https://[::1/",
        f"https://{'a' * 64}.example.org/",
        "https://mysite..example.org/",
    ],
)
def test_what_is_no_web_site_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not the URL of a web site"):
        site_of(url, None)


@pytest.mark.parametrize("address", ["192.168.1.200/24", "a b", "a\0b", "a..b"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a web site"):
        site_of("http://mysite.example.org/", address)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="without a user") as refused:
        site_of("https://user:secret@mysite.example.org/", None)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("ca", ["nothing", "ü", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_of_an_authority_is_refused(ca: str) -> None:
    with pytest.raises(ValueError, match="ca has no certificate in PEM form"):
        trusting(ca)


def test_a_comment_beside_a_certificate_may_have_any_letters(serve: Serve, authority: trustme.CA) -> None:
    port = serve(context(authority.issue_cert(NAME)))
    assert seen(site_of(f"https://{NAME}:{port}/", "127.0.0.1"), f"# Zu Hause, für uns\n{pem(authority)}").is_well


@given(
    st.text() | st.builds("http://{}:{}/{}".format, st.text(), st.integers(0, 99999), st.text()), st.none() | st.text()
)
def test_any_url_is_looked_at_or_refused(url: str, address: str | None) -> None:
    def fail(*_args: object) -> t.NoReturn:
        raise ConnectionRefusedError

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(socket, "create_connection", fail)
        try:
            assert seen(site_of(url, address)).http_status == NO_ANSWER
        except ValueError as error:
            assert "is not" in str(error)  # noqa: PT017 - both outcomes are right
