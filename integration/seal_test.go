package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// TestSealedNodeApplies keeps a node sealed while keys are made; unsealed later it serves them at once.
func TestSealedNodeApplies(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	late, up := c.Followers()[0], c.Followers()[1] // not the leader: on a busy machine the sealed one may lead for a moment
	late.Stop()
	late.Start()
	var keys []string
	for range 20 {
		keys = append(keys, createKey(t, up.Client(), "made while one node is sealed"))
	}
	h, err := up.Client().Health(background(t))
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually(20*time.Second, "the sealed node to apply", func(ctx context.Context) error {
		own, err := late.Client().Health(ctx)
		if err != nil {
			return err
		}
		if !own.Sealed || own.CanServeCrypto {
			t.Fatalf("the node is not sealed: %+v", own)
		}
		if own.AppliedIndex < h.AppliedIndex {
			return notYet("it is at %d of %d", own.AppliedIndex, h.AppliedIndex)
		}
		return nil
	})
	_, err = late.Client().Encrypt(background(t), &kms.EncryptRequest{KeyID: keys[0], Plaintext: []byte("x")})
	mustCode(t, err, kms.CodeSealed)
	late.Unseal()
	late.WaitServing()
	for _, key := range keys {
		if err := roundTrip(background(t), key, late.Client(), c.Leader().Client()); err != nil {
			t.Fatalf("at once after the unseal: %v", err)
		}
	}
}

// TestSealingUnderLoad seals a node while it encrypts: every ciphertext that was answered decrypts.
func TestSealingUnderLoad(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	key := createKey(t, c.Client(), "under load")
	for range rounds(2, 20) {
		n := c.Followers()[0]
		var mu sync.Mutex
		var answered [][]byte
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				cl := n.Client()
				for {
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					e, err := cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("under load")})
					cancel()
					if err != nil {
						if code := kms.CodeOf(err); code != kms.CodeSealed && code != kms.CodeUnavailable {
							t.Errorf("while sealing: %v", err)
						}
						return
					}
					mu.Lock()
					answered = append(answered, e.CiphertextBlob)
					mu.Unlock()
				}
			})
		}
		c.Eventually(10*time.Second, "load", func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if len(answered) < 100 {
				return notYet("%d ciphertexts", len(answered))
			}
			return nil
		})
		if _, err := n.Client().Seal(background(t), &kms.SealRequest{}); err != nil {
			t.Fatalf("seal: %v", err)
		}
		wg.Wait()
		if h, err := n.Client().Health(background(t)); err != nil || !h.Sealed {
			t.Fatalf("after seal: %+v, %v", h, err)
		}
		n.Unseal()
		n.WaitServing()
		back := c.Leader().Client()
		for _, blob := range answered {
			if d, err := back.Decrypt(background(t), &kms.DecryptRequest{CiphertextBlob: blob}); err != nil || string(d.Plaintext) != "under load" {
				t.Fatalf("an answered ciphertext does not decrypt: %v", err)
			}
		}
	}
}

// TestSealCluster seals every node through one.
func TestSealCluster(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	a, err := c.Nodes[0].Client().Seal(background(t), &kms.SealRequest{Cluster: true})
	if err != nil || len(a.Sealed) != 3 || len(a.Unreachable) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	for _, n := range c.Nodes {
		if h, err := n.Client().Health(background(t)); err != nil || !h.Sealed || h.CanServeCrypto {
			t.Errorf("%s: %+v, %v", n.Name, h, err)
		}
	}
	c.Unseal()
	createKey(t, c.Client(), "open again")
}

// TestNothingReadableAtRest plants canaries in everything a user can name or store, and looks for
// them in every file of every data directory and every log, in several encodings. The access key,
// the shares and the key material are canaries too.
func TestNothingReadableAtRest(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: func(_ int, cfg *server.Config) {
		cfg.Raft.SnapshotThreshold, cfg.Raft.SnapshotInterval = 8, 200*time.Millisecond // snapshots are files too
		cfg.MetricsToken = "canary of the metrics_token"
	}})
	ctx := background(t)
	cl := c.Client()
	canaries := map[string][]byte{}
	plant := func(what string) string {
		text := "canary-" + rand.Text()
		canaries[what] = []byte(text)
		return text
	}
	a, err := cl.CreateKey(ctx, &kms.CreateKeyRequest{Description: plant("description"), Tags: map[string]string{plant("tag key"): plant("tag value")}})
	if err != nil {
		t.Fatal(err)
	}
	key := a.Key.KeyID
	if _, err := cl.CreateAlias(ctx, &kms.CreateAliasRequest{AliasName: "alias/" + plant("alias"), TargetKeyID: key}); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.CreateAccount(ctx, &kms.CreateAccountRequest{Name: plant("account name")}); err != nil {
		t.Fatal(err)
	}
	user := plant("user")
	if _, err := cl.CreateUser(ctx, &kms.CreateUserRequest{Name: user, Tags: map[string]string{plant("tag of a user"): "x"}}); err != nil {
		t.Fatal(err)
	}
	err = cl.PutUserPolicy(ctx, &kms.PutInlinePolicyRequest{Name: user, PolicyName: "p", PolicyDocument: kms.PolicyDocument(
		`{"Version":"2012-10-17","Statement":{"Sid":"` + strings.ReplaceAll(plant("policy"), "-", "") + `","Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	canaries["policy"] = bytes.ReplaceAll(canaries["policy"], []byte("-"), nil)
	accessKey, err := cl.CreateAccessKey(ctx, &kms.IdentityRequest{Name: user})
	if err != nil {
		t.Fatal(err)
	}
	canaries["secret access key of a user"] = []byte(accessKey.SecretAccessKey)
	for range 20 {
		e, err := cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(plant("plaintext")), EncryptionContext: map[string]string{"c": plant("context")}})
		if err != nil {
			t.Fatal(err)
		}
		_ = e
		createKey(t, cl, plant("description of another"))
	}
	session, err := cl.GetSessionToken(ctx, &kms.GetSessionTokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	grant, err := cl.CreateGrant(ctx, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: accessKeyHolder(c, user), Operations: []kms.GrantOperation{"Encrypt"}})
	if err != nil {
		t.Fatal(err)
	}
	external, err := cl.CreateKey(ctx, &kms.CreateKeyRequest{Origin: kms.OriginExternal})
	if err != nil {
		t.Fatal(err)
	}
	imported, err := cl.GetParametersForImport(ctx, &kms.GetParametersForImportRequest{KeyID: external.Key.KeyID, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048})
	if err != nil {
		t.Fatal(err)
	}
	canaries["token of a session"], canaries["token of a grant"], canaries["token of an import"] = []byte(session.SessionToken), []byte(grant.GrantToken), imported.ImportToken
	canaries["secret access key of a session"] = []byte(session.SecretAccessKey)
	oidcToken := "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://nobody.example","sub":"`+plant("subject of a token that is refused")+`"}`)) + ".AAAA"
	canaries["token of a web identity"] = []byte(oidcToken)
	_, err = cl.AssumeRoleWithWebIdentity(ctx, &kms.AssumeRoleWithWebIdentityRequest{RoleARN: "arn:aws:iam::" + c.Nodes[0].Config.OperatorAccountID + ":role/r", RoleSessionName: "rr", WebIdentityToken: kms.SensitiveString(oidcToken)})
	mustCode(t, err, kms.CodeInvalidIdentityToken)
	canaries["key id"] = []byte(key)
	canaries["secret access key"] = []byte(c.SecretAccessKey)
	canaries["access key id"] = []byte(c.AccessKeyID)
	for i, s := range c.Shares {
		canaries[fmt.Sprintf("share %d", i)] = []byte(s)
	}
	id, _ := kms.KeyIDBytes(key)
	canaries["key id, raw"] = id[:]

	for _, n := range c.Nodes {
		poll(t, 30*time.Second, "a snapshot of "+n.Name, func() error {
			if found, _ := filepath.Glob(filepath.Join(n.DataDir(), "raft", "snapshots", "*")); len(found) == 0 {
				return errors.New("there is none")
			}
			return nil
		})
	}
	canaries["token of the metrics"] = []byte(c.Nodes[0].Config.MetricsToken)
	shown := only(canaries, "plaintext", "secret access key", "share", "token", "description", "alias", "tag", "context", "account name", "user", "policy")
	for _, n := range c.Nodes {
		search(t, scrape(t, n), shown)
	}
	snapshots := 0
	for _, n := range c.Nodes {
		if err := n.Stop(); err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
		err := filepath.WalkDir(n.DataDir(), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if strings.Contains(path, "snapshot") {
				snapshots++
			}
			search(t, path, canaries)
			if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %s", path, info.Mode())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		search(t, filepath.Join(n.Dir, "server.log"), only(canaries, "plaintext", "secret access key", "share", "description", "alias", "tag", "context", "account name", "user", "policy", "token", "subject of a token"))
		search(t, filepath.Join(n.Dir, "audit.jsonl"), only(canaries, "plaintext", "secret access key", "share", "token", "subject of a token"))
	}
	if snapshots == 0 {
		t.Error("no snapshot file was searched")
	}
}

// scrape writes a node's metrics into a file and returns its path.
func scrape(t *testing.T, n *cluster.Node) string {
	t.Helper()
	q, err := http.NewRequestWithContext(background(t), "GET", n.APIAddr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+n.Config.MetricsToken)
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK || len(text) < 1000 {
		t.Fatalf("%d %v %.200s", a.StatusCode, err, text)
	}
	path := filepath.Join(t.TempDir(), "metrics")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// accessKeyHolder is the ARN of a user of the operator account.
func accessKeyHolder(c *cluster.Cluster, user string) string {
	return "arn:aws:iam::" + c.Nodes[0].Config.OperatorAccountID + ":user/" + user
}

// only returns the canaries whose name begins with one of the prefixes.
func only(canaries map[string][]byte, prefixes ...string) map[string][]byte {
	out := map[string][]byte{}
	for what, canary := range canaries {
		for _, p := range prefixes {
			if strings.HasPrefix(what, p) {
				out[what] = canary
			}
		}
	}
	return out
}

func search(t *testing.T, path string, canaries map[string][]byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, canary := range canaries {
		for encoding, form := range map[string][]byte{
			"plain": canary, "hex": []byte(hex.EncodeToString(canary)), "base64": []byte(base64.RawStdEncoding.EncodeToString(canary)),
			"base64url": []byte(base64.RawURLEncoding.EncodeToString(canary)),
		} {
			if bytes.Contains(raw, form) {
				t.Errorf("%s holds the %s, %s", filepath.Base(path), what, encoding)
			}
		}
	}
}

// TestMemoryIsProtected reads a node process's status as the kernel shows it: pages are locked, and
// another process of the same user may not look inside.
func TestMemoryIsProtected(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Nodes: 1, Processes: true})
	pid := c.Nodes[0].PID()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	locked := regexp.MustCompile(`(?m)^VmLck:\s+(\d+) kB`).FindSubmatch(status)
	if locked == nil {
		t.Fatalf("no VmLck in\n%s", status)
	}
	if kb, _ := strconv.Atoi(string(locked[1])); kb == 0 {
		t.Error("an unsealed node has no locked pages")
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Max core file size\s+0\s+0\s`).Match(limits) {
		t.Errorf("core dumps are possible:\n%s", limits)
	}
	// The kernel gives the files of a process that is not dumpable to root.
	if os.Getuid() != 0 {
		if f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid)); err == nil {
			f.Close()
			t.Error("another process of this user can open the node's memory")
		}
	}
}

// TestUnsealAttempts covers the life of an attempt: its id is told only to who submits, cancel needs it.
func TestUnsealAttempts(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Nodes: 1, Sealed: true})
	n := c.Nodes[0].Client()
	ctx := background(t)
	a, err := n.Unseal(ctx, client.UnsealRequest{Share: kms.SensitiveString(c.Shares[0])})
	if err != nil || a.AttemptID == "" || a.Progress != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	s, err := n.SealStatus(ctx)
	if err != nil || s.AttemptLabel == "" || len(s.AttemptLabel) != 4 || strings.Contains(a.AttemptID, s.AttemptLabel) && len(a.AttemptID) <= 8 {
		t.Errorf("status %+v, %v", s, err)
	}
	if _, err := n.CancelUnseal(ctx, "0123456789abcdef0123456789abcdef"); err == nil {
		t.Error("a wrong attempt id cancelled the attempt")
	}
	if s, _ := n.SealStatus(ctx); s.Progress != 1 {
		t.Errorf("progress is %d", s.Progress)
	}
	if _, err := n.CancelUnseal(ctx, a.AttemptID); err != nil {
		t.Errorf("cancel: %v", err)
	}
	if s, _ := n.SealStatus(ctx); s.Progress != 0 {
		t.Errorf("after cancel progress is %d", s.Progress)
	}
}

// give submits shares to one node, which relays them.
func give(c *cluster.Cluster, n *cluster.Node, shares ...string) {
	c.TB.Helper()
	for _, share := range shares {
		c.Eventually(10*time.Second, "a share", func(ctx context.Context) error {
			_, err := n.Client().Unseal(ctx, client.UnsealRequest{Share: kms.SensitiveString(share), Cluster: true})
			if kms.CodeOf(err) == kms.CodeShareDuplicate {
				return nil
			}
			return err
		})
	}
}

// staySealed watches nodes for several rounds of a relay.
func staySealed(c *cluster.Cluster, nodes ...*cluster.Node) {
	c.TB.Helper()
	enough := time.After(2500 * time.Millisecond)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, n := range nodes {
			if h, err := n.Client().Health(background(c.TB)); err == nil && h.Initialized && !h.Sealed {
				c.TB.Fatalf("%s is unsealed again, and nobody gave a share", n.Name)
			}
		}
		select {
		case <-enough:
			return
		case <-tick.C:
		}
	}
}

// TestSealedClusterStaysSealed seals a cluster through each node while one still relays shares to a
// member that is down: nothing unseals by itself, the member that comes back neither.
func TestSealedClusterStaysSealed(t *testing.T) {
	for name, through := range map[string]int{"through the one that relays": 0, "through another": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Sealed: true})
			c.Nodes[2].Stop()
			give(c, c.Nodes[0], c.Shares[:3]...)
			c.Nodes[0].WaitServing()
			c.Nodes[1].WaitServing()
			a, err := c.Nodes[through].Client().Seal(background(t), &kms.SealRequest{Cluster: true})
			if err != nil || len(a.Sealed) != 2 || len(a.Unreachable) != 1 {
				t.Fatalf("%+v, %v", a, err)
			}
			staySealed(c, c.Nodes[:2]...)
			c.Nodes[2].Start()
			staySealed(c, c.Nodes...)
			give(c, c.Nodes[2], c.Shares[2:]...)
			for _, n := range c.Nodes {
				n.WaitServing()
			}
		})
	}
}

// TestSealedNodeStaysSealed seals one node while another relays shares to a member that is down. The
// sealed node stays so, also when it restarts; the member that was only down gets its shares.
func TestSealedNodeStaysSealed(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Sealed: true})
	down := c.Nodes[2]
	down.Stop()
	give(c, c.Nodes[0], c.Shares[:3]...)
	c.Nodes[0].WaitServing()
	c.Nodes[1].WaitServing()
	if _, err := c.Nodes[1].Client().Seal(background(t), &kms.SealRequest{}); err != nil {
		t.Fatal(err)
	}
	staySealed(c, c.Nodes[1])
	c.Nodes[1].Stop()
	c.Nodes[1].Start()
	staySealed(c, c.Nodes[1])
	down.Start()
	down.WaitServing()
	staySealed(c, c.Nodes[1])
	give(c, c.Nodes[0], c.Shares[2:]...)
	c.Nodes[1].WaitServing()
}

// TestSealForgetsShares: the shares that a sealed node has so far are gone when it is told to seal.
func TestSealForgetsShares(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	by := c.Nodes[0]
	if _, err := c.Nodes[1].Client().Seal(background(t), &kms.SealRequest{}); err != nil {
		t.Fatal(err)
	}
	submit := func(share string) *client.UnsealAnswer {
		a, err := c.Nodes[1].Client().Unseal(background(t), client.UnsealRequest{Share: kms.SensitiveString(share), Cluster: true})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	submit(c.Shares[0])
	if a := submit(c.Shares[1]); a.Progress != 2 {
		t.Fatalf("%+v", a)
	}
	if _, err := by.Client().Seal(background(t), &kms.SealRequest{Cluster: true}); err != nil {
		t.Fatal(err)
	}
	if a := submit(c.Shares[2]); a.Progress != 1 || !a.Sealed {
		t.Errorf("after the second seal: %+v", a)
	}
}

// TestUnsealedNodeNamesSharesToo: who tests a share against a node that is unsealed learns the same.
func TestUnsealedNodeNamesSharesToo(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Nodes: 1})
	other := cluster.Start(t, cluster.Options{Nodes: 1, Sealed: true})
	for _, relayed := range []bool{false, true} {
		submit := func(share string) (*client.UnsealAnswer, error) {
			return c.Nodes[0].Client().Unseal(background(t), client.UnsealRequest{Share: kms.SensitiveString(share), Cluster: relayed})
		}
		_, err := submit(c.Shares[0] + "q")
		mustCode(t, err, kms.CodeInvalidShare)
		_, err = submit(other.Shares[0])
		mustCode(t, err, kms.CodeShareOtherCluster)
		if a, err := submit(c.Shares[0]); err != nil || a.Sealed || a.Threshold != 3 {
			t.Errorf("a good share: %+v, %v", a, err)
		}
	}
}

// auditLines returns a node's audit records of one event.
func auditLines(t *testing.T, n *cluster.Node, event string) (lines []string) {
	t.Helper()
	raw, err := os.ReadFile(n.Config.Audit.File)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, `"eventName":"`+event+`"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestSystemCallsAreAudited: init, shares, cancel and seal leave records, refused or not, without what
// was given.
func TestSystemCallsAreAudited(t *testing.T) {
	t.Parallel()
	const token, wrong = "a token of the configuration", "not the token at all, and secret"
	c := cluster.Start(t, cluster.Options{Sealed: true, Config: func(_ int, cfg *server.Config) { cfg.InitToken = token }})
	ctx := background(t)
	first := c.Nodes[0].Client()
	_, err := first.Init(ctx, client.InitRequest{Shares: 5, Threshold: 3, Again: true, InitToken: wrong})
	mustCode(t, err, kms.CodeAccessDenied)
	give(c, c.Nodes[0], c.Shares[0])
	_, err = first.Unseal(ctx, client.UnsealRequest{Share: kms.SensitiveString(c.Shares[0])})
	mustCode(t, err, kms.CodeShareDuplicate)
	a, err := first.Unseal(ctx, client.UnsealRequest{Share: kms.SensitiveString(c.Shares[1])})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.CancelUnseal(ctx, a.AttemptID); err != nil {
		t.Fatal(err)
	}
	give(c, c.Nodes[0], c.Shares[:3]...)
	for _, n := range c.Nodes {
		n.WaitServing()
	}
	if _, err := first.Seal(ctx, &kms.SealRequest{Cluster: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		node        int
		event, text string
	}{
		{0, "InitializeCluster", `"phase":"begin"`},
		{0, "InitializeCluster", `"requestParameters":{"shares":5,"threshold":3,"again":false},`},
		{0, "InitializeCluster", `"errorCode":"access_denied"`},
		{0, "SubmitUnsealShare", `"requestParameters":{"cluster":true},"responseElements":{"sealed":true,"threshold":3,"shares":5,"progress":1,"attemptLabel":"`},
		{0, "SubmitUnsealShare", `"errorCode":"share_duplicate"`},
		{0, "SubmitUnsealShare", `"sourceIPAddress":"127.0.0.1"`},
		{0, "SubmitUnsealShare", `"requestID":"`},
		{0, "SubmitUnsealShare", `"sealed":false`},
		{0, "CancelUnseal", `"progress":2,"attemptLabel":"`},
		{1, "SubmitUnsealShare", `"principalId":"node-0"`},
		{1, "Seal", `"principalId":"node-0"`},
	} {
		lines := auditLines(t, c.Nodes[want.node], want.event)
		if !strings.Contains(strings.Join(lines, ""), want.text) {
			t.Errorf("no %s of node-%d has %s:\n%s", want.event, want.node, want.text, strings.Join(lines, ""))
		}
	}
	canaries := map[string][]byte{"token": []byte(token), "wrong token": []byte(wrong), "attempt id": []byte(a.AttemptID), "secret access key": []byte(c.SecretAccessKey)}
	for i, s := range c.Shares {
		canaries[fmt.Sprint("share ", i)] = []byte(s)
	}
	for _, n := range c.Nodes {
		search(t, n.Config.Audit.File, canaries)
		search(t, filepath.Join(n.Dir, "server.log"), canaries)
	}
}

// TestInitIsNotBegunUnaudited: where records cannot be written, nothing is proposed, and a share does
// not count.
func TestInitIsNotBegunUnaudited(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Nodes: 1, Empty: true, Config: func(_ int, cfg *server.Config) { cfg.Audit.File = "/dev/full" }})
	c.Leader()
	n := c.Nodes[0].Client()
	var index uint64
	same := 0
	c.Eventually(10*time.Second, "a log that rests", func(ctx context.Context) error {
		h, err := n.Health(ctx)
		if err != nil || h.AppliedIndex != index || h.AppliedIndex == 0 {
			index, same = h.AppliedIndex, 0
			return notYet("index %d, %v", index, err)
		}
		if same++; same < 20 {
			return notYet("index %d", index)
		}
		return nil
	})
	_, err := n.Init(background(t), client.InitRequest{Shares: 5, Threshold: 3})
	mustCode(t, err, kms.CodeAuditBlocked)
	h, err := n.Health(background(t))
	if err != nil || h.Initialized || h.AppliedIndex != index {
		t.Errorf("after a refused init: %+v, %v, index %d before", h, err, index)
	}
	_, err = n.Unseal(background(t), client.UnsealRequest{Share: "any"})
	mustCode(t, err, kms.CodeAuditBlocked)
}
