package server

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/audit/sink"
)

// Config is one node's configuration. It is read from a YAML file, in which an unknown name is an
// error; every setting can also be given as a LOCKSTEP_* variable and as a flag, which win in that
// order (see Settings). The zero value of a setting means its default.
type Config struct {
	Name    string `yaml:"name" help:"this node's name, unique in the cluster and equal to the name in its certificate"`
	DataDir string `yaml:"data_dir" help:"directory for the log, snapshots and node identity (created with mode 0700)"`

	APIListen string   `yaml:"api_listen" help:"address that serves the API"`
	APIAddr   string   `yaml:"api_addr" help:"URL under which clients reach this node's API"`
	APITLS    TLSFiles `yaml:"api_tls"`

	ClientCertificates bool     `yaml:"client_certificates" help:"ask API clients for a certificate, which the trust anchors of an account can map to a role"`
	TrustedProxies     []string `yaml:"trusted_proxies" help:"addresses or CIDRs of proxies whose X-Forwarded-For says where a request comes from"`

	PeerListen string   `yaml:"peer_listen" help:"address that serves the other nodes (one port: Raft, RPC, gossip)"`
	PeerAddr   string   `yaml:"peer_addr" help:"host:port under which the other nodes reach this one"`
	PeerTLS    TLSFiles `yaml:"peer_tls"`
	Peers      []Peer   `yaml:"peers" help:"the nodes that form the cluster, this one included, the same list on each, as name=host:port"`

	InitToken string `yaml:"init_token" help:"token that 'operator init' must present when it does not come from loopback" secret:"true"`

	MetricsListen string `yaml:"metrics_listen" help:"address that serves GET /metrics over plain HTTP to everybody; none when empty"`
	MetricsToken  string `yaml:"metrics_token" help:"bearer token with which GET /metrics is served on the API's address too" secret:"true"`
	MetricsKeys   int    `yaml:"metrics_keys" help:"keys that the metrics name, the most used ones; the others are summed. Beside them up to 1000 that are to be deleted and were asked for; 0 names none"`

	Partition         string   `yaml:"partition" help:"ARN partition"`
	OperatorAccountID string   `yaml:"operator_account_id" help:"12-digit id of the account that init makes"`
	Regions           []string `yaml:"regions" help:"regions served; the first is the default"`

	Audit AuditConfig `yaml:"audit"`

	AllowUnlockedMemory bool `yaml:"allow_unlocked_memory" help:"run although key memory cannot be locked and may be swapped to disk"`

	Log    LogConfig    `yaml:"log"`
	Limits LimitsConfig `yaml:"limits"`
	Raft   RaftConfig   `yaml:"raft"`

	// Dev marks a node of 'lockstep dev': it may serve plain HTTP, on loopback only.
	Dev bool `yaml:"dev" help:"development node: plain HTTP on loopback"`
}

// TLSFiles names PEM files.
type TLSFiles struct {
	CAFile   string `yaml:"ca_file" help:"PEM file of the CA that peers' or client certificates must chain to"`
	CertFile string `yaml:"cert_file" help:"PEM file of the certificate chain"`
	KeyFile  string `yaml:"key_file" help:"PEM file of the private key"`
}

// Peer is an expected node of the cluster.
type Peer struct {
	Name string `yaml:"name"`
	Addr string `yaml:"addr"`
}

// AuditConfig says where audit records go.
type AuditConfig struct {
	File       string        `yaml:"file" help:"file that takes one JSON line per call, mode 0600, outside the data directory"`
	Sinks      []string      `yaml:"sinks" help:"further sinks of the same records: file:/path, syslog+tcp://host:port, syslog+tls://host:port?ca_file=&cert_file=&key_file=, syslog+udp://host:port, stdout:"`
	Durability string        `yaml:"durability" help:"when a record counts as written: write (survives the process) or fsync (survives power loss)"`
	Timeout    time.Duration `yaml:"timeout" help:"after this long a sink that hangs counts as failed"`
	Require    int           `yaml:"require" help:"how many of the sinks must take a record before its answer leaves"`

	MaxSize    int64         `yaml:"max_size" help:"bytes after which the file is rotated; 0 is never"`
	MaxAge     time.Duration `yaml:"max_age" help:"the file is rotated at the end of each period of this length in UTC, 24h at midnight; 0 is never"`
	Retain     time.Duration `yaml:"retain" help:"rotated files are removed after this long; 0 is never"`
	RetainSize int64         `yaml:"retain_size" help:"bytes that the files may take together, before the oldest rotated ones are removed; 0 is any number"`
}

// LogConfig shapes the node's log on standard error.
type LogConfig struct {
	Level  string   `yaml:"level" help:"debug, info, warn or error"`
	Levels []string `yaml:"levels" help:"levels of single components, as component=level"`
	Format string   `yaml:"format" help:"text or json"`
}

// LimitsConfig bounds what requests can take.
type LimitsConfig struct {
	MaxBodyBytes      int64 `yaml:"max_body_bytes" help:"largest request body"`
	MaxConcurrent     int   `yaml:"max_concurrent" help:"requests served at once; more are answered 429"`
	MaxKeysPerAccount int   `yaml:"max_keys_per_account" help:"keys an account may hold in all regions together"`
	MaxPlaintextBytes int   `yaml:"max_plaintext_bytes" help:"largest plaintext that the REST door encrypts, 4096 (as AWS KMS) to 65536"`

	RequestsPerSecond int `yaml:"requests_per_second" help:"requests a second that this node serves each identity; more are answered 429; 0 is no limit"`
	RequestsBurst     int `yaml:"requests_burst" help:"requests that an identity may make at once above that rate; 0 is one second's worth"`
}

// RaftConfig tunes consensus. The defaults fit a local network.
type RaftConfig struct {
	HeartbeatTimeout   time.Duration `yaml:"heartbeat_timeout" help:"silence of the leader after which a follower stands for election"`
	ElectionTimeout    time.Duration `yaml:"election_timeout" help:"time after which a candidate without a majority tries again"`
	CommitTimeout      time.Duration `yaml:"commit_timeout" help:"longest wait before followers hear of a commit on an idle log"`
	TrailingLogs       uint64        `yaml:"trailing_logs" help:"log entries kept behind a snapshot so that a follower can catch up without one"`
	SnapshotThreshold  uint64        `yaml:"snapshot_threshold" help:"log entries after which a snapshot is taken"`
	SnapshotInterval   time.Duration `yaml:"snapshot_interval" help:"how often the threshold is checked"`
	CheckpointInterval time.Duration `yaml:"checkpoint_interval" help:"how often the nodes compare digests of their state"`
}

func defaultConfig() Config {
	return Config{
		APIListen: ":8200", PeerListen: ":8300",
		MetricsKeys: 50,
		Partition:   "aws", OperatorAccountID: "000000000000", Regions: []string{"us-east-1"},
		Audit:  AuditConfig{Durability: "write", Timeout: 2 * time.Second, Require: 1, MaxSize: 256 << 20, MaxAge: 24 * time.Hour},
		Log:    LogConfig{Level: "info", Format: "text"},
		Limits: LimitsConfig{MaxBodyBytes: 1 << 20, MaxConcurrent: 1024, MaxKeysPerAccount: 100_000, MaxPlaintextBytes: 4096},
		Raft: RaftConfig{HeartbeatTimeout: 350 * time.Millisecond, ElectionTimeout: 350 * time.Millisecond, CommitTimeout: 5 * time.Millisecond,
			TrailingLogs: 200_000, SnapshotThreshold: 50_000, SnapshotInterval: 30 * time.Second, CheckpointInterval: time.Minute},
	}
}

// Setting is one setting as a flag and a variable.
type Setting struct {
	Flag   string // "api-tls-cert-file"
	Env    string // "LOCKSTEP_API_TLS_CERT_FILE"
	Help   string
	Bool   bool
	Secret bool // never shown; better given by file or variable than by flag
	path   []int
}

// Settings lists every setting there is, in the order of the Config struct.
func Settings() []Setting { return settingsOf(reflect.TypeFor[Config](), "", nil) }

func settingsOf(t reflect.Type, prefix string, path []int) (all []Setting) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("yaml")
		at := append(slices.Clone(path), i)
		if f.Type.Kind() == reflect.Struct {
			all = append(all, settingsOf(f.Type, name+"_", at)...)
			continue
		}
		all = append(all, Setting{
			Flag: strings.ReplaceAll(name, "_", "-"), Env: "LOCKSTEP_" + strings.ToUpper(name), Help: f.Tag.Get("help"),
			Bool: f.Type.Kind() == reflect.Bool, Secret: f.Tag.Get("secret") != "", path: at,
		})
	}
	return all
}

// LoadConfig reads the file at path (none when path is empty), then lookupEnv, then flags (by flag
// name), fills in defaults and validates. Every problem is reported, each with what to do.
func LoadConfig(path string, lookupEnv func(string) (string, bool), flags map[string]string) (Config, error) {
	cfg := defaultConfig()
	if path != "" {
		if err := cfg.readFile(path); err != nil {
			return Config{}, err
		}
	}
	v := reflect.ValueOf(&cfg).Elem()
	for _, s := range Settings() {
		if text, ok := lookupEnv(s.Env); ok {
			if err := setField(v.FieldByIndex(s.path), text); err != nil {
				return Config{}, fmt.Errorf("variable %s: %w", s.Env, err)
			}
		}
		if text, ok := flags[s.Flag]; ok {
			if err := setField(v.FieldByIndex(s.path), text); err != nil {
				return Config{}, fmt.Errorf("flag --%s: %w", s.Flag, err)
			}
		}
	}
	if cfg.APIAddr == "" {
		cfg.APIAddr = cfg.defaultAPIAddr()
	}
	if cfg.PeerAddr == "" {
		cfg.PeerAddr = cfg.peerAddrFromPeers()
	}
	return cfg, cfg.Validate()
}

func (c *Config) readFile(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if len(raw) > 1<<20 {
		return fmt.Errorf("configuration %s is larger than 1 MiB", path)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && len(bytes.TrimSpace(raw)) > 0 {
		text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n ", ""), "yaml: ")
		text = regexp.MustCompile(` in type server\.\w+`).ReplaceAllString(text, "")
		return fmt.Errorf("configuration %s: %s", path, strings.ReplaceAll(text, "field", "unknown setting"))
	}
	return nil
}

func setField(v reflect.Value, text string) error {
	switch v.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 500ms or 2s", text)
		}
		v.SetInt(int64(d))
	case string:
		v.SetString(text)
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case int, int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(n)
	case uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetUint(n)
	case []string:
		v.Set(reflect.ValueOf(splitList(text)))
	case []Peer:
		var peers []Peer
		for _, item := range splitList(text) {
			name, addr, ok := strings.Cut(item, "=")
			if !ok {
				return fmt.Errorf("%q is not name=host:port", item)
			}
			peers = append(peers, Peer{Name: name, Addr: addr})
		}
		v.Set(reflect.ValueOf(peers))
	default:
		return fmt.Errorf("a setting of type %s has no text form", v.Type())
	}
	return nil
}

func splitList(text string) []string {
	var out []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func (c *Config) defaultAPIAddr() string {
	host, port, err := net.SplitHostPort(c.APIListen)
	if err != nil {
		return ""
	}
	if host == "" {
		host = "127.0.0.1"
	}
	scheme := "https"
	if c.APITLS.CertFile == "" {
		scheme = "http"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (c *Config) peerAddrFromPeers() string {
	for _, p := range c.Peers {
		if p.Name == c.Name {
			return p.Addr
		}
	}
	return ""
}

var (
	nodeName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
	region    = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
	partition = regexp.MustCompile(`^[a-z][a-z-]{0,31}$`)
)

// Validate reports everything that is wrong with c, joined.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nodeName.MatchString(c.Name) {
		bad("name: give this node a name of 1 to 63 characters a-z, 0-9, '-' and '.'")
	}
	if c.DataDir == "" {
		bad("data_dir: name the directory that holds this node's state")
	}
	c.validateAPI(bad)
	c.validatePeers(bad)
	if !partition.MatchString(c.Partition) {
		bad("partition: %q is not an ARN partition such as aws", c.Partition)
	}
	if !accountID.MatchString(c.OperatorAccountID) {
		bad("operator_account_id: an account id has 12 digits")
	}
	if len(c.Regions) == 0 {
		bad("regions: name at least one region")
	}
	for i, r := range c.Regions {
		if !region.MatchString(r) {
			bad("regions: %q is not a region such as us-east-1", r)
		}
		if slices.Contains(c.Regions[:i], r) {
			bad("regions: %q stands twice", r)
		}
	}
	if c.InitToken != "" && len(c.InitToken) < 16 {
		bad("init_token: a token has at least 16 characters")
	}
	c.validateMetrics(bad)
	c.validateAudit(bad)
	c.Log.validate(bad)
	if c.Limits.MaxBodyBytes < 16<<10 || c.Limits.MaxConcurrent < 1 || c.Limits.MaxKeysPerAccount < 1 {
		bad("limits: max_body_bytes is at least 16384, the others at least 1")
	}
	if c.Limits.MaxPlaintextBytes < 4096 || c.Limits.MaxPlaintextBytes > 64<<10 {
		bad("limits: max_plaintext_bytes is from 4096 to 65536")
	}
	if c.Limits.RequestsPerSecond < 0 || c.Limits.RequestsBurst < 0 {
		bad("limits: requests_per_second and requests_burst are not negative")
	}
	for _, p := range c.TrustedProxies {
		if _, err := parseProxy(p); err != nil {
			bad("trusted_proxies: %q is neither an address nor a CIDR such as 10.0.0.0/8", p)
		}
	}
	if c.ClientCertificates && c.APITLS.CertFile == "" {
		bad("client_certificates: certificates come with TLS only; set api_tls")
	}
	if c.Raft.HeartbeatTimeout < 50*time.Millisecond || c.Raft.ElectionTimeout < c.Raft.HeartbeatTimeout || c.Raft.CommitTimeout < time.Millisecond {
		bad("raft: heartbeat_timeout is at least 50ms, election_timeout not below it, commit_timeout at least 1ms")
	}
	return errors.Join(errs...)
}

func (c *Config) validateAudit(bad func(string, ...any)) {
	a := &c.Audit
	if a.File == "" {
		bad("audit.file: name the file that takes the audit records; nothing is answered unaudited")
	} else if c.DataDir != "" && inside(c.DataDir, a.File) {
		bad("audit.file: audit records are readable and may not be kept in data_dir, which holds ciphertext only")
	}
	if !utf8.ValidString(a.File) {
		bad("audit.file: %q is not UTF-8", a.File)
	}
	oneOf(bad, "audit.durability", a.Durability, "write", "fsync")
	if a.Timeout < 10*time.Millisecond || a.Timeout > time.Minute {
		bad("audit.timeout: between 10ms and 1m")
	}
	if sinks := 1 + len(a.Sinks); a.Require < 1 || a.Require > sinks {
		bad("audit.require: from 1 to the number of sinks, %d", sinks)
	}
	c.validateSinks(bad)
	if a.MaxSize != 0 && a.MaxSize < 1<<20 {
		bad("audit.max_size: at least 1048576, or 0")
	}
	if a.MaxAge != 0 && a.MaxAge < time.Minute {
		bad("audit.max_age: at least 1m, or 0")
	}
	if a.Retain != 0 && a.Retain < time.Hour {
		bad("audit.retain: at least 1h, or 0")
	}
	if a.RetainSize != 0 && a.RetainSize < max(a.MaxSize, 1<<20) {
		bad("audit.retain_size: at least max_size, or 0")
	}
}

// validateSinks holds the further sinks to their form, and to being different ones.
func (c *Config) validateSinks(bad func(string, ...any)) {
	files := []string{resolve(c.Audit.File, maxLinks)}
	names := map[string]bool{"file:" + files[0]: true}
	for _, text := range c.Audit.Sinks {
		u, err := sink.Parse(text)
		if err != nil {
			bad("audit.sinks: %q: %w", text, err)
			continue
		}
		name := u.String()
		if u.Kind == sink.File {
			path := resolve(u.Path, maxLinks)
			name = "file:" + path
			if other := slices.IndexFunc(files, func(f string) bool { return rotates(f, path) || rotates(path, f) }); other >= 0 {
				bad("audit.sinks: %q: one of this and %s is named as the other is once it is rotated", text, files[other])
			}
			files = append(files, path)
			if c.DataDir != "" && inside(c.DataDir, u.Path) {
				bad("audit.sinks: %q: audit records are readable and may not be kept in data_dir, which holds ciphertext only", text)
			}
		}
		if names[name] {
			bad("audit.sinks: %q stands twice", text)
		}
		names[name] = true
	}
}

// rotates reports whether the file at path is called as the one at of is once it is rotated.
func rotates(of, path string) bool {
	_, _, ok := chain.Rotated(of, filepath.Base(path))
	return ok && filepath.Dir(of) == filepath.Dir(path)
}

// parseProxy reads an address or a CIDR.
func parseProxy(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && p.Addr().Is4In6() {
		err = errors.New("an IPv4 network is written as one")
	}
	return p.Masked(), err
}

// inside reports whether path leads to dir or below it, however both are written and linked.
func inside(dir, path string) bool {
	rel, err := filepath.Rel(resolve(dir, maxLinks), resolve(path, maxLinks))
	return err != nil || rel != ".." && !strings.HasPrefix(rel, "../")
}

const maxLinks = 40

// resolve returns path absolute and without symbolic links. What does not exist yet is taken as
// written, at the place where it would come to be.
func resolve(path string, links int) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path) // there is no working directory
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	parent, name := filepath.Split(abs)
	if name == "" {
		return abs
	}
	parent = resolve(parent, links)
	target, err := os.Readlink(filepath.Join(parent, name)) // a link to what does not exist yet
	switch {
	case err != nil || links == 0:
		return filepath.Join(parent, name)
	case filepath.IsAbs(target):
		return resolve(target, links-1)
	default:
		return resolve(filepath.Join(parent, target), links-1)
	}
}

func oneOf(bad func(string, ...any), name, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		bad("%s: %q is not one of %s", name, value, strings.Join(allowed, ", "))
	}
}

func (c *Config) validateAPI(bad func(string, ...any)) {
	host, _, err := net.SplitHostPort(c.APIListen)
	if err != nil {
		bad("api_listen: %q is not host:port", c.APIListen)
	}
	u, err := url.Parse(c.APIAddr)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" {
		bad("api_addr: %q is not a URL such as https://kms1.example.com:8200", c.APIAddr)
	}
	switch {
	case c.Dev && !isLoopback(host):
		bad("dev: a development node serves plain HTTP and so listens on loopback only; %q is not", c.APIListen)
	case !c.Dev && (c.APITLS.CertFile == "" || c.APITLS.KeyFile == ""):
		bad("api_tls: cert_file and key_file are needed; the API is served over TLS only ('lockstep cert server' makes a certificate)")
	}
}

func (c *Config) validateMetrics(bad func(string, ...any)) {
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			bad("metrics_listen: %q is not host:port", c.MetricsListen)
		}
	}
	if c.MetricsToken != "" && len(c.MetricsToken) < 16 {
		bad("metrics_token: a token has at least 16 characters")
	}
	if c.MetricsKeys < 0 || c.MetricsKeys > 1000 {
		bad("metrics_keys: from 0 to 1000")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Config) validatePeers(bad func(string, ...any)) {
	if _, _, err := net.SplitHostPort(c.PeerListen); err != nil {
		bad("peer_listen: %q is not host:port", c.PeerListen)
	}
	if _, _, err := net.SplitHostPort(c.PeerAddr); err != nil {
		bad("peer_addr: %q is not host:port", c.PeerAddr)
	}
	if c.PeerTLS.CAFile == "" || c.PeerTLS.CertFile == "" || c.PeerTLS.KeyFile == "" {
		bad("peer_tls: ca_file, cert_file and key_file are needed ('lockstep cert ca' and 'lockstep cert node' make them)")
	}
	self := false
	for i, p := range c.Peers {
		if !nodeName.MatchString(p.Name) {
			bad("peers: %q is not a node name", p.Name)
		}
		if _, _, err := net.SplitHostPort(p.Addr); err != nil {
			bad("peers: the address %q of %s is not host:port", p.Addr, p.Name)
		}
		for _, q := range c.Peers[:i] {
			if q.Name == p.Name || q.Addr == p.Addr {
				bad("peers: %s stands twice or shares its address", p.Name)
			}
		}
		self = self || p.Name == c.Name
	}
	if !self {
		bad("peers: list the nodes of the cluster, %q itself included", c.Name)
	}
}
