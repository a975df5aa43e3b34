package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
	"github.com/lockstep-kms/lockstep/transport"
)

// authority is a certificate authority of clients.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = issue(t, template, template, nil)
	return a
}

// issue makes a certificate; without a signer one that signs itself.
func issue(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// client makes the certificate of a client.
func (a *authority) client(t *testing.T, name string, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{"shop"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(template)
	}
	cert, key := issue(t, template, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// withCertificate returns a client of a node that has a certificate and nothing else.
func withCertificate(c *cluster.Cluster, n *cluster.Node, cert tls.Certificate) *client.Client {
	conf := c.ClientTLS()
	// The node names no authorities, so a client sends what it has.
	conf.Certificates = []tls.Certificate{cert}
	return n.ClientWith(client.Config{TLS: conf})
}

// TestClientCertificates lets a machine with a certificate be a role, and an operator with a certificate see the members
// of a sealed node.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	operators, err := transport.NewCA("operators", transport.Validity{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := operators.Save(dir); err != nil {
		t.Fatal(err)
	}
	c := cluster.Start(t, cluster.Options{TLS: true, Nodes: 2, Sealed: true, Config: func(_ int, cfg *server.Config) {
		cfg.ClientCertificates, cfg.APITLS.CAFile = true, filepath.Join(dir, transport.CACertFile)
	}})
	ctx, ours, foreign := background(t), newAuthority(t), newAuthority(t)
	operator := func(ca *transport.CA) tls.Certificate {
		pair, err := ca.IssueOperator("ops", transport.Validity{})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := pair.TLS()
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	others, err := transport.NewCA("operators", transport.Validity{}) // of the same name
	if err != nil {
		t.Fatal(err)
	}
	node, err := operators.IssueNode("node-0", []string{"127.0.0.1"}, transport.Validity{})
	if err != nil {
		t.Fatal(err)
	}
	nodeCert, err := node.TLS()
	if err != nil {
		t.Fatal(err)
	}
	mayRead := func(want kms.Code) {
		t.Helper()
		members, err := withCertificate(c, c.Nodes[0], operator(operators)).Members(ctx)
		if kms.CodeOf(err) != want || want == "" && len(members.Members) != 2 {
			t.Errorf("an operator's certificate: %+v, %v", members, err)
		}
	}
	mayRead("")
	for what, cert := range map[string]tls.Certificate{"of another authority": operator(others), "of the nodes' own": operator(c.CA), "of a node": nodeCert, "of a client": ours.client(t, "ops", nil)} {
		_, err := withCertificate(c, c.Nodes[0], cert).Members(ctx)
		if kms.CodeOf(err) != kms.CodeUnauthenticated {
			t.Errorf("a certificate %s while sealed: %v", what, err)
		}
	}
	c.Unseal()
	mayRead(kms.CodeUnauthenticated) // unsealed, it is no identity

	r := &realm{c: c, account: c.Nodes[0].Config.OperatorAccountID}
	r.key = createKey(t, r.root(0), "of machines")
	anchor := "arn:aws:rolesanywhere::" + r.account + ":trust-anchor/machines"
	if _, err := r.root(0).CreateRole(ctx, &kms.CreateRoleRequest{Name: "machine", AssumeRolePolicyDocument: kms.PolicyDocument(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
		"Action":"sts:AssumeRole","Principal":{"Service":"rolesanywhere.amazonaws.com"},"Condition":{"ArnEquals":{"aws:SourceArn":"` + anchor + `"},"StringEquals":{"aws:PrincipalTag/x509Subject/OU":"shop"}}}}`)}); err != nil {
		t.Fatal(err)
	}
	if err := r.root(0).PutRolePolicy(ctx, &kms.PutInlinePolicyRequest{Name: "machine", PolicyName: "inline", PolicyDocument: allowing("*", "kms:Encrypt")}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.root(1).CreateTrustAnchor(ctx, &kms.CreateTrustAnchorRequest{Name: "machines", Certificate: ours.pem(), Mappings: []kms.CertificateMapping{{Role: "machine", CommonName: "*.shop.example"}}}); err != nil {
		t.Fatal(err)
	}
	good := ours.client(t, "till.shop.example", nil)
	for _, n := range c.Nodes {
		machine := withCertificate(c, n, good)
		who, err := machine.GetCallerIdentity(ctx)
		if err != nil || who.ARN != "arn:aws:sts::"+r.account+":assumed-role/machine/1267" {
			t.Errorf("who calls: %+v, %v", who, err)
		}
		if err := encrypts(ctx, machine, r.key); err != nil {
			t.Error(err)
		}
		mustCode(t, failed(machine.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: r.key})), kms.CodeAccessDenied)
		for what, cert := range map[string]tls.Certificate{
			"of another authority": foreign.client(t, "till.shop.example", nil),
			"that signs itself":    selfSigned(t),
			"of another name":      ours.client(t, "till.bank.example", nil),
			"of another unit":      ours.client(t, "till.shop.example", func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"bank"} }),
			"that is over":         ours.client(t, "till.shop.example", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
			"of a server":          ours.client(t, "till.shop.example", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		} {
			if err := encrypts(ctx, withCertificate(c, n, cert), r.key); kms.CodeOf(err) != kms.CodeUnauthenticated {
				t.Errorf("%s, a certificate %s: %v", n.Name, what, err)
			}
		}
	}
	if err := r.root(0).DeleteTrustAnchor(ctx, &kms.ProviderRequest{Provider: "machines"}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		mustCode(t, encrypts(ctx, withCertificate(c, n, good), r.key), kms.CodeUnauthenticated)
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: "till.shop.example", OrganizationalUnit: []string{"shop"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	cert, key := issue(t, template, template, nil)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}
