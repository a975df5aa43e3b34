package catalog

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/tidwall/btree"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/seal"
	"github.com/lockstep-kms/lockstep/secret"
)

const testStamp = 1_800_000_000_000

// tester is what *testing.T, *testing.B and *rapid.T share.
type tester interface {
	Helper()
	Fatalf(string, ...any)
}

// lab is a state machine, a catalog of it, and barriers to write records with.
type lab struct {
	t tester
	*fsm.FSM
	*Catalog
	config  seal.Config
	share   secret.Bytes
	barrier *seal.Barrier // the writer's
	ids     IDs
	index   uint64
	stamp   int64 // of the next command
	alarms  *logBuffer
}

// logBuffer collects what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func newLab(t tester) *lab {
	t.Helper()
	config, shares, barrier, err := seal.Initialize(seal.Params{Shares: 1, Threshold: 1, AllowSingle: true, AllowUnlocked: true})
	if err != nil {
		t.Fatalf("init: %v", err)
	}
	l := &lab{t: t, FSM: fsm.New(fsm.Options{}), config: config, share: shares[0], barrier: barrier, ids: NewIDs(barrier), stamp: testStamp, alarms: &logBuffer{}}
	l.Catalog = New(l.FSM, "aws", slog.New(slog.NewTextHandler(l.alarms, nil)))
	l.commit(fsm.Write{Kind: fsm.KindSealConfig, ID: "seal", Revision: 1, Body: []byte{1}})
	return l
}

// unseal opens a catalog with a barrier of its own.
func (l *lab) unseal(c *Catalog) {
	l.t.Helper()
	_, b, err := seal.NewUnsealer(0, true).Submit(l.config, string(l.share), "")
	if err != nil {
		l.t.Fatalf("share: %v", err)
	}
	if err := c.Unseal(testingContext, b); err != nil {
		l.t.Fatalf("unseal: %v", err)
	}
}

// close ends what the lab holds.
func (l *lab) close() {
	l.Catalog.Seal()
	l.barrier.Wipe()
}

// commit applies one transaction without waiting for the catalog.
func (l *lab) commit(writes ...fsm.Write) {
	l.t.Helper()
	txn := fsm.Txn{Event: "test", Based: l.stamp, Writes: writes}
	rand.Read(txn.ID[:])
	data, err := fsm.EncodeBatch(l.stamp, []fsm.Txn{txn})
	if err != nil {
		l.t.Fatalf("encode: %v", err)
	}
	l.index++
	outcomes, ok := l.FSM.Apply(&raft.Log{Index: l.index, Type: raft.LogCommand, Data: data}).([]fsm.Outcome)
	if !ok || outcomes[0].Status != fsm.Applied {
		l.t.Fatalf("commit: %+v", outcomes)
	}
}

// view waits until the catalog holds everything and returns its view.
func (l *lab) view() *View {
	l.t.Helper()
	if err := l.WaitOpened(testingContext, l.index); err != nil {
		l.t.Fatalf("wait: %v", err)
	}
	return l.Catalog.View()
}

// write seals a record for the next index.
func (l *lab) write(ref fsm.Ref, body any, scopes ...fsm.ScopeID) fsm.Write {
	l.t.Helper()
	w, err := Write(l.barrier, ref, l.index+1, body, scopes...)
	if err != nil {
		l.t.Fatalf("seal: %v", err)
	}
	return w
}

// damaged is write with a body that does not open.
func (l *lab) damaged(ref fsm.Ref, body any) fsm.Write {
	w := l.write(ref, body)
	w.Body[len(w.Body)-1] ^= 1
	return w
}

func deleted(w fsm.Write) fsm.Write {
	w.Delete, w.Scopes = true, nil
	return w
}

var scopeA = kms.Scope{Account: "111111111111", Region: "us-east-1"}

// keyNumber is the key of that number.
func keyNumber(s kms.Scope, n int) *kms.Key {
	var id [16]byte
	id[0], id[13], id[14], id[15] = byte(n*7), byte(n>>16), byte(n>>8), byte(n)
	return &kms.Key{Schema: 1, Scope: s, ID: kms.KeyIDFromBytes(id), State: kms.StateEnabled, Spec: kms.SymmetricDefault,
		Usage: kms.EncryptDecrypt, Origin: kms.OriginAWSKMS, Created: testStamp,
		Materials: []kms.Material{{Version: 1, ID: strings.Repeat(hex.EncodeToString(id[:]), 2), Created: testStamp}}}
}

func policyOf(k *kms.Key) *kms.Policy {
	return &kms.Policy{Schema: 1, Scope: k.Scope, KeyID: k.ID, Document: auth.DefaultKeyPolicy("aws", k.Scope.Account)}
}

func materialOf(k *kms.Key) *Material {
	raw, _ := kms.KeyIDBytes(k.ID)
	return &Material{Schema: 1, KeyID: raw, Version: 1, Plain: bytes.Repeat([]byte{raw[15]}, 32)}
}

// writeKey returns the writes that make a key.
func (l *lab) writeKey(k *kms.Key) []fsm.Write {
	return []fsm.Write{
		l.write(l.ids.Key(k.Scope, k.ID), k, l.ids.KeysOf(k.Scope.Account)),
		l.write(l.ids.Policy(k.Scope, k.ID), policyOf(k)),
		l.write(l.ids.Material(k.Current().ID), materialOf(k)),
	}
}

// writeAccount returns the writes that make an account with one access key.
func (l *lab) writeAccount(id string) []fsm.Write {
	return []fsm.Write{
		l.write(l.ids.Account(id), &kms.Account{Schema: 1, ID: id}),
		l.write(l.ids.Identity(id, ""), &kms.Identity{Schema: 1, Account: id, ID: id, Type: kms.TypeRoot}),
		l.write(l.ids.Credential("AK"+id), &kms.Credential{Schema: 1, AccessKeyID: "AK" + id, Account: id, Identity: id, Secret: []byte("secret of " + id)}),
	}
}

func (g *grants) trees() iter.Seq2[string, *btree.BTreeG[grantItem]] {
	return func(yield func(string, *btree.BTreeG[grantItem]) bool) {
		_ = yield("grant", g.all) && yield("grantee", g.byGrantee) && yield("retirable", g.retirable)
	}
}

// dump writes out everything that a view tells.
func dump(v *View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "index %d, bound %s\n", v.Index(), v.RevocationBound())
	for _, a := range v.Accounts("", 1<<20) {
		fmt.Fprintf(&b, "account %+v\n", *a)
	}
	v.credentials.Scan(func(id string, _ *Credential) bool {
		c, ok := v.Credential(id)
		if !ok {
			return true
		}
		fmt.Fprintf(&b, "credential %s %s %v %s %s %v\n", id, string([]byte(c.Secret)), c.Disabled, c.Principal.ARN, c.Principal.UserID, c.Principal.Refs)
		return true
	})
	v.tenants.Scan(func(id string, t *tenant) bool {
		regions := map[string]*region{}
		for _, r := range t.regions {
			regions[r.scope.Region] = r
		}
		for _, name := range []string{"eu-west-1", "us-east-1"} {
			r := regions[name]
			if r == nil {
				continue
			}
			r.keys.Scan(func(item keyItem) bool {
				k := *item.key
				if k.DefaultPolicy != (k.Policy.key != nil) || k.Policy.Document == nil && k.DefaultPolicy {
					fmt.Fprintf(&b, "the default policy of %s is not as its key says\n", k.ID)
				}
				fmt.Fprintf(&b, "policy %+v %s\n", k.Policy.Ref(), k.Policy.Document)
				if k.Rotation != nil {
					fmt.Fprintf(&b, "rotation %+v\n", *k.Rotation)
				}
				k.handles, k.Policy.key, k.Policy.Document, k.Rotation = nil, nil, nil, nil
				fmt.Fprintf(&b, "key %+v\n", k)
				return true
			})
			r.aliases.Scan(func(name string, a *Alias) bool {
				fmt.Fprintf(&b, "alias %s %+v\n", name, *a)
				return true
			})
			if r.grants != nil {
				for name, tree := range r.grants.trees() {
					tree.Scan(func(item grantItem) bool {
						fmt.Fprintf(&b, "%s %s %x%x %s %+v\n", name, item.principal, item.hi, item.lo, item.id, *item.grant)
						return true
					})
				}
			}
			r.byTarget.Scan(func(item targetItem) bool {
				fmt.Fprintf(&b, "target %x%x %s %+v\n", item.hi, item.lo, item.name, *item.alias)
				return true
			})
		}
		return true
	})
	for _, k := range v.Due(1<<60, 1<<20) {
		fmt.Fprintf(&b, "due %d %s %d %d\n", k.Due(), k.ARN, k.Revision, k.Policy.Revision)
	}
	v.settings.Scan(func(name string, s *Setting) bool {
		fmt.Fprintf(&b, "setting %+v\n", *s)
		return true
	})
	v.unreadable.Scan(func(key string, _ struct{}) bool {
		fmt.Fprintf(&b, "unreadable %x\n", key)
		return true
	})
	return b.String()
}

func wantCode(t *testing.T, what string, err error, code kms.Code) {
	t.Helper()
	if got := kms.CodeOf(err); got != code {
		t.Fatalf("%s: %q (%v), want %q", what, got, err, code)
	}
}
