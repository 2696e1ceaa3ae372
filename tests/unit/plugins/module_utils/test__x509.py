# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ssl

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._x509 import days_left, not_after
from hypothesis import given
from hypothesis import strategies as st

# Made for these tests by openssl; the dates are those that `openssl x509 -enddate` tells.
CLIENT_AND_CA = """\
-----BEGIN CERTIFICATE-----
MIIBZTCCAQugAwIBAgIUCmitwqJJ1JwpTMWxFaKV+16PwTQwCgYIKoZIzj0EAwIw
IzEhMB8GA1UEAwwYazNzLWNsaWVudC1jYUAxNzYzNzkxMjAwMB4XDTI1MDEwMTAw
MDAwMFoXDTI2MTEyMjA2MTAwMFowMDEXMBUGA1UECgwOc3lzdGVtOm1hc3RlcnMx
FTATBgNVBAMMDHN5c3RlbTphZG1pbjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BPH4hKmBDFKz+6VCYS0XFDKI7mgCGdBoNySOMukRAUlvEVH9KX5Fn/lkoy1YLIp/
cnmYJ7sG4Fhv/il90AJcu66jEDAOMAwGA1UdEwEB/wQCMAAwCgYIKoZIzj0EAwID
SAAwRQIhAMzeCyTyrZ8owBSoy49VTUQcilaQEWgMFUDxUf9J5BPrAiBT1WK7J+4n
J0jYDDVtbAaIPrGQMqjMu6po47FDU33YEw==
-----END CERTIFICATE-----
-----BEGIN CERTIFICATE-----
MIIBWzCCAQGgAwIBAgIUGGurNqwEPJFNJyUblF+7mpIHC1IwCgYIKoZIzj0EAwIw
IzEhMB8GA1UEAwwYazNzLWNsaWVudC1jYUAxNzYzNzkxMjAwMB4XDTI1MTEyMjAw
MDAwMFoXDTM1MTEyMDAwMDAwMFowIzEhMB8GA1UEAwwYazNzLWNsaWVudC1jYUAx
NzYzNzkxMjAwMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE35swgFIRi9qHiQkM
L84mWs+cH2zEwSsMQPHaWqravTfNtyDWXpDXN6KvXTNIHUrmk1NKhCmo3XK01iXC
0n7aoKMTMBEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA/Nxo
mu6oO89BB7C7wUo+VxjziEOdOPz+y99bkVBtr9wCIHDD/JlCTg8ucjuxa4l45jYm
JAfFz4Uj2/R5xltdqixE
-----END CERTIFICATE-----
"""
ENDED = """\
-----BEGIN CERTIFICATE-----
MIIBZTCCAQugAwIBAgIULoLIfBkFwqIxcSfcnFEmqGBsHeQwCgYIKoZIzj0EAwIw
IzEhMB8GA1UEAwwYazNzLWNsaWVudC1jYUAxNzYzNzkxMjAwMB4XDTkwMDEwMTAw
MDAwMFoXDTk5MTIzMTIzNTk1OVowMDEXMBUGA1UECgwOc3lzdGVtOm1hc3RlcnMx
FTATBgNVBAMMDHN5c3RlbTphZG1pbjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BAIM2MutCzui1yJHZE3ci3gGdGgY2l+YV2BiztFjVio6yOwwJTCYEPd3ZVTPJ2mC
/uX6QyBVjIpm8iBQtx7PgjCjEDAOMAwGA1UdEwEB/wQCMAAwCgYIKoZIzj0EAwID
SAAwRQIgMbU7Y7oAc3mvxc1OisFYgmdRuwocMYmwBMJJiTwC+1kCIQDNSeT+G2Fo
N8iXZTSeaQ0neum0i7fRIDtQr/C/GFM06Q==
-----END CERTIFICATE-----
"""
FROM_2050_ON = """\
-----BEGIN CERTIFICATE-----
MIIBaDCCAQ2gAwIBAgIUZXYfjZNxnmev2dIJve9fcML7dpYwCgYIKoZIzj0EAwIw
IzEhMB8GA1UEAwwYazNzLWNsaWVudC1jYUAxNzYzNzkxMjAwMCAXDTI1MDEwMTAw
MDAwMFoYDzIwNTAwMTAyMDMwNDA1WjAwMRcwFQYDVQQKDA5zeXN0ZW06bWFzdGVy
czEVMBMGA1UEAwwMc3lzdGVtOmFkbWluMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD
QgAEP9PjvhIBVfVpEt06UdA2El1x47/HDePbxCTzqfIvRArlV5H8HQpZS2Lwiat/
YGIH/Dlh2LiAkivyMRXF0V7dJaMQMA4wDAYDVR0TAQH/BAIwADAKBggqhkjOPQQD
AgNJADBGAiEAjJaUD/Z7P+Dy5cfpTfqeDiUABO3OoKj/mVsWZzbtkFkCIQDAeyT+
mIJlEvMmEcC54HRsd6miAQvKQNAjTVDnyrFB0w==
-----END CERTIFICATE-----
"""
VERSION_1 = """\
-----BEGIN CERTIFICATE-----
MIIBEzCBuwIUWqJBv6WM1NAmwoDx2nRXAfvHXN8wCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCdjEwHhcNMjYxMTIyMDYzMzIyWhcNMzYxMTE5MDYzMzIyWjANMQswCQYD
VQQDDAJ2MTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKNPM8mySaOutMdFdQTw
b2M4tvF4ZWi0vjMPF05Xos1xSylz4ItJdXOHL93qQA0vAfYk6Jy4B/VJaJZBdPkm
76EwCgYIKoZIzj0EAwIDRwAwRAIgJxCg5Dsd3ioegkncGjUIj340yx9qDMXYr5Lk
yoaQItUCIDGZrPO4tOu5DYOwfWgOVYvB85QmvOH98h3E40HxUBJ5
-----END CERTIFICATE-----
"""
ENDS = datetime.datetime(2026, 11, 22, 6, 10, tzinfo=datetime.timezone.utc)


@pytest.mark.parametrize(
    ("pem", "expected"),
    [
        pytest.param(CLIENT_AND_CA, "2026-11-22T06:10:00+00:00", id="first of a chain"),
        pytest.param(ENDED, "1999-12-31T23:59:59+00:00", id="two digits of a year before 2000"),
        pytest.param(FROM_2050_ON, "2050-01-02T03:04:05+00:00", id="four digits of the year"),
        pytest.param(VERSION_1, "2036-11-19T06:33:22+00:00", id="without version field"),
    ],
)
def test_not_after(pem: str, expected: str) -> None:
    assert not_after(pem).isoformat() == expected


@pytest.mark.parametrize(
    ("before_the_end", "expected"),
    [
        (datetime.timedelta(days=30), 30),
        (datetime.timedelta(days=30, seconds=-1), 29),
        (datetime.timedelta(0), 0),
        (datetime.timedelta(seconds=-1), -1),
    ],
)
def test_days_left(before_the_end: datetime.timedelta, expected: int) -> None:
    assert days_left(CLIENT_AND_CA, ENDS - before_the_end) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no certificate",
        CLIENT_AND_CA.replace("CERTIFICATE", "PRIVATE KEY"),
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(ENDED)[:-1]),
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ],
)
def test_not_a_certificate(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an X\.509 certificate"):
        not_after(text)


@given(st.integers(0, len(ENDED)), st.integers(0, len(ENDED)), st.text("AQgwMIB=/+", max_size=8))
def test_a_damaged_certificate_is_read_or_refused(start: int, end: int, damage: str) -> None:
    try:
        assert not_after(ENDED[:start] + damage + ENDED[end:]).tzinfo is datetime.timezone.utc
    except ValueError as exc:
        assert "X.509" in str(exc)  # noqa: PT017 - both outcomes are right
