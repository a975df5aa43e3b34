package transport

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"time"
)

// File names of a CA in its directory.
const (
	CACertFile = "ca.pem"
	CAKeyFile  = "ca-key.pem"
)

// Validity is how long a certificate holds. The zero value begins an hour ago (clocks differ) and
// lasts ten years for a CA, 825 days for the rest.
type Validity struct {
	From time.Time
	For  time.Duration
}

// CA is a cluster's certificate authority with its key.
type CA struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// Pair is a certificate and its key in PEM.
type Pair struct {
	CertPEM []byte
	KeyPEM  []byte
}

// Role is what a certificate of the cluster CA is for.
type Role string

// The roles.
const (
	RoleNode     Role = "node"
	RoleOperator Role = "operator"
)

// Identity is who a certificate names: the URI lockstep://ROLE/NAME among its subject names.
type Identity struct {
	Role Role
	Name string
}

// NewCA makes a P-256 CA. name shows in the certificates only.
func NewCA(name string, v Validity) (*CA, error) { return nil, nil }

// LoadCA reads ca.pem and ca-key.pem from dir.
func LoadCA(dir string) (*CA, error) { return nil, nil }

// Save writes ca.pem (0644) and ca-key.pem (0600) into dir, which it makes (0700) when missing.
// It never overwrites.
func (ca *CA) Save(dir string) error { return nil }

// Pool is the pool that holds this CA alone.
func (ca *CA) Pool() *x509.CertPool { return nil }

// IssueNode makes the certificate of node name, for the peer port and as a TLS server at hosts
// (DNS names and IP addresses; may be empty).
func (ca *CA) IssueNode(name string, hosts []string, v Validity) (*Pair, error) { return nil, nil }

// IssueOperator makes the client certificate of operator name.
func (ca *CA) IssueOperator(name string, v Validity) (*Pair, error) { return nil, nil }

// IssueServer makes a certificate for the API alone, valid at hosts, at least one.
func (ca *CA) IssueServer(hosts []string, v Validity) (*Pair, error) { return nil, nil }

// TLS parses the pair.
func (p *Pair) TLS() (tls.Certificate, error) { return tls.Certificate{}, nil }

// Save writes the key (0600), then the certificate (0644). It never overwrites.
func (p *Pair) Save(certFile, keyFile string) error { return nil }

// LoadPair reads a certificate and its key.
func LoadPair(certFile, keyFile string) (tls.Certificate, error) { return tls.Certificate{}, nil }

// LoadPool reads the CA certificates of a PEM file.
func LoadPool(file string) (*x509.CertPool, error) { return nil, nil }

// IdentityOf reads the identity out of a verified certificate. A certificate with none or with more
// than one is an error.
func IdentityOf(cert *x509.Certificate) (Identity, error) { return Identity{}, nil }

// ValidName reports whether name can name a node or operator: 1..63 of a-z 0-9 - . beginning and
// ending with a letter or digit.
func ValidName(name string) bool { return false }
