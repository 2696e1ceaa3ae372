// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// serverPKI is the directory server/tls: the cluster's authorities and the certificates of the server's own parts.
type serverPKI struct {
	dir                               string
	serverCA, clientCA, requestHeader *authority
	etcdServerCA, etcdPeerCA          *authority
}

func newServerPKI(dir string, hosts []string) (*serverPKI, error) {
	pki := &serverPKI{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, "etcd"), 0o700); err != nil {
		return nil, err
	}
	for name, ca := range map[string]**authority{
		"server-ca": &pki.serverCA, "client-ca": &pki.clientCA, "request-header-ca": &pki.requestHeader,
		"etcd/server-ca": &pki.etcdServerCA, "etcd/peer-ca": &pki.etcdPeerCA,
	} {
		loaded, err := loadAuthority(dir, name)
		if err != nil {
			return nil, err
		}
		*ca = loaded
	}
	for _, certificate := range []struct {
		ca   *authority
		file string
		leaf leaf
	}{
		{pki.serverCA, "serving-kube-apiserver", leaf{name: "kube-apiserver", hosts: hosts}},
		{pki.clientCA, "client-admin", leaf{name: "system:admin", groups: []string{"system:masters"}}},
		{pki.clientCA, "client-controller", leaf{name: "system:kube-controller-manager"}},
		{pki.clientCA, "client-scheduler", leaf{name: "system:kube-scheduler"}},
		{pki.clientCA, "client-kube-apiserver", leaf{name: "kube-apiserver"}},
		{pki.requestHeader, "client-auth-proxy", leaf{name: "system:auth-proxy"}},
		{pki.etcdServerCA, "etcd/client", leaf{name: "etcd-client"}},
		{pki.etcdServerCA, "etcd/server-client", leaf{name: "etcd-server", hosts: hosts, peer: true}},
		{pki.etcdPeerCA, "etcd/peer-server-client", leaf{name: "etcd-peer", hosts: hosts, peer: true}},
	} {
		if err := certificate.ca.ensureLeaf(pki.file(certificate.file), certificate.leaf); err != nil {
			return nil, err
		}
	}
	_, err := ensureKey(pki.file("service.key"))
	return pki, err
}

func (p *serverPKI) file(name string) string { return filepath.Join(p.dir, name) }

// kubeconfig names the files of a client certificate; writeKubeconfig puts their content in.
func (p *serverPKI) kubeconfig(server, client string) *clientcmdapi.Config {
	return newKubeconfig(server, p.file("server-ca.crt"), p.file(client+".crt"), p.file(client+".key"))
}

func newKubeconfig(server, ca, certificate, key string) *clientcmdapi.Config {
	const name = "default"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthority: ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificate: certificate, ClientKey: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return config
}

func writeKubeconfig(path string, config *clientcmdapi.Config, mode os.FileMode) error {
	if err := clientcmdapi.FlattenConfig(config); err != nil {
		return err
	}
	content, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeChanged(path, content, mode)
}
