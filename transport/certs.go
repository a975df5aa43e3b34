package transport

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// File names of a CA in its directory.
const (
	CACertFile = "ca.pem"
	CAKeyFile  = "ca-key.pem"
)

const (
	day          = 24 * time.Hour
	caLife       = 3653 * day
	leafLife     = 825 * day
	clockAllowed = time.Hour

	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// Validity is how long a certificate holds. The zero value begins an hour ago (clocks differ) and
// lasts ten years for a CA, 825 days for the rest; no certificate outlives its CA.
type Validity struct {
	From time.Time
	For  time.Duration
}

func (v Validity) bounds(life time.Duration) (from, to time.Time) {
	from = v.From
	if from.IsZero() {
		from = time.Now().Add(-clockAllowed)
	}
	if v.For != 0 {
		life = v.For
	}
	return from, from.Add(life)
}

// CA is a cluster's certificate authority with its key.
type CA struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// Pair is a certificate and its key in PEM. It prints without the key.
type Pair struct {
	CertPEM []byte
	KeyPEM  []byte
}

// Format writes a placeholder, whatever the verb.
func (p Pair) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[certificate and key]") }

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

func (id Identity) String() string { return string(id.Role) + " " + id.Name }

func (id Identity) uri() *url.URL {
	return &url.URL{Scheme: "lockstep", Host: string(id.Role), Path: "/" + id.Name}
}

// IdentityOf reads the identity out of a verified certificate. A certificate with none or with more
// than one is an error.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	var found []Identity
	for _, uri := range cert.URIs {
		if uri.Scheme != "lockstep" {
			continue
		}
		id := Identity{Role: Role(uri.Host), Name: strings.TrimPrefix(uri.Path, "/")}
		known := id.Role == RoleNode || id.Role == RoleOperator
		if !known || !ValidName(id.Name) || uri.String() != id.uri().String() {
			return Identity{}, errors.New("certificate has a malformed lockstep:// name")
		}
		found = append(found, id)
	}
	switch len(found) {
	case 0:
		return Identity{}, errors.New("certificate names no node and no operator (it has no lockstep:// name)")
	case 1:
		return found[0], nil
	default:
		return Identity{}, errors.New("certificate has more than one lockstep:// name")
	}
}

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// ValidName reports whether name can name a node or operator: 1..63 of a-z 0-9 - . beginning and
// ending with a letter or digit.
func ValidName(name string) bool { return validName.MatchString(name) }

// NewCA makes a P-256 CA that signs node, operator and server certificates and no other CA. name
// shows in the certificates only.
func NewCA(name string, v Validity) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the CA key: %w", err)
	}
	from, to := v.bounds(caLife)
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Lockstep"}, CommonName: name},
		NotBefore:             from,
		NotAfter:              to,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making the CA certificate: %w", err)
	}
	return &CA{Cert: cert, key: key}, nil
}

// LoadCA reads ca.pem and ca-key.pem from dir.
func LoadCA(dir string) (*CA, error) {
	certFile, keyFile := filepath.Join(dir, CACertFile), filepath.Join(dir, CAKeyFile)
	pair, err := LoadPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is not a CA certificate", certFile)
	}
	return &CA{Cert: pair.Leaf, key: key}, nil
}

// Save writes ca.pem (0644) and ca-key.pem (0600) into dir, which it makes (0700) when missing.
// It never overwrites.
func (ca *CA) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	keyPEM, err := encodeKey(ca.key)
	if err != nil {
		return err
	}
	pair := &Pair{CertPEM: ca.CertPEM(), KeyPEM: keyPEM}
	return pair.Save(filepath.Join(dir, CACertFile), filepath.Join(dir, CAKeyFile))
}

// CertPEM is the CA's certificate, which every node and client trusts.
func (ca *CA) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: ca.Cert.Raw})
}

// Pool is the pool that holds this CA alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return pool
}

// IssueNode makes the certificate of node name, for the peer port and as a TLS server at hosts
// (DNS names and IP addresses; may be empty).
func (ca *CA) IssueNode(name string, hosts []string, v Validity) (*Pair, error) {
	return ca.issue(Identity{RoleNode, name}, hosts, v,
		x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
}

// IssueOperator makes the client certificate of operator name.
func (ca *CA) IssueOperator(name string, v Validity) (*Pair, error) {
	return ca.issue(Identity{RoleOperator, name}, nil, v, x509.ExtKeyUsageClientAuth)
}

// IssueServer makes a certificate for the API alone, valid at hosts, at least one.
func (ca *CA) IssueServer(hosts []string, v Validity) (*Pair, error) {
	if len(hosts) == 0 {
		return nil, errors.New("a server certificate needs at least one host name or IP address")
	}
	return ca.issue(Identity{}, hosts, v, x509.ExtKeyUsageServerAuth)
}

// issue makes a leaf. The zero identity makes one that names nobody.
func (ca *CA) issue(id Identity, hosts []string, v Validity, usages ...x509.ExtKeyUsage) (*Pair, error) {
	from, to := v.bounds(leafLife)
	if to.After(ca.Cert.NotAfter) {
		to = ca.Cert.NotAfter
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Lockstep"}, CommonName: id.Name},
		NotBefore:             from,
		NotAfter:              to,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usages,
	}
	if id != (Identity{}) {
		if !ValidName(id.Name) {
			return nil, fmt.Errorf("%q cannot name a %s: use 1 to 63 of a-z 0-9 - . beginning and ending with a letter or digit", id.Name, id.Role)
		}
		template.URIs = []*url.URL{id.uri()}
	}
	if err := addHosts(template, hosts); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Pair{CertPEM: pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}), KeyPEM: keyPEM}, nil
}

var validHost = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$`)

func addHosts(template *x509.Certificate, hosts []string) error {
	for _, host := range hosts {
		switch ip := net.ParseIP(host); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case len(host) <= 253 && validHost.MatchString(host):
			template.DNSNames = append(template.DNSNames, host)
		default:
			return fmt.Errorf("%q is neither a host name nor an IP address (give no port)", host)
		}
	}
	return nil
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// TLS parses the pair.
func (p *Pair) TLS() (tls.Certificate, error) { return tls.X509KeyPair(p.CertPEM, p.KeyPEM) }

// Save writes the key (0600), then the certificate (0644). It never overwrites.
func (p *Pair) Save(certFile, keyFile string) error {
	if _, err := os.Lstat(certFile); err == nil {
		return fmt.Errorf("%s exists already", certFile)
	}
	if err := writeNew(keyFile, p.KeyPEM, 0o600); err != nil {
		return err
	}
	if err := writeNew(certFile, p.CertPEM, 0o644); err != nil {
		return errors.Join(err, os.Remove(keyFile))
	}
	return nil
}

func writeNew(file string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// LoadPair reads a certificate and its key.
func LoadPair(certFile, keyFile string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return pair, nil
}

// LoadPool reads the CA certificates of a PEM file.
func LoadPool(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}
