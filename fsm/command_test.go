package fsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"
)

// sample is a command with every field in use. Its bytes are testdata/batch.hex.
func sample() (stamp int64, txns []Txn) {
	full := Txn{
		ID: TxnID{1, 2, 3}, Request: [32]byte{4, 5, 6}, Event: "key.created", Based: start - 5, Long: true,
		Guards:      []Guard{{KindPolicy, "policy", 300}, {KindKey, "new", 0}},
		ScopeGuards: []ScopeGuard{{Scope: ScopeID{7}, Exact: true, Revision: 70000}, {Scope: ScopeID{8}, Below: 100_000}},
		Writes: []Write{
			{Kind: KindKey, ID: "new", Revision: 1 << 33, Term: 1, Body: []byte("sealed"), Scopes: []ScopeID{{7}, {8}}},
			{Kind: KindGrant, ID: "gone", Revision: 24, Term: 257, Delete: true, Body: []byte("sealed tombstone")},
		},
	}
	return start, []Txn{full, {ID: TxnID{9}, Event: "cluster.noted", Based: start}}
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The bytes of version 1 are what every later release must go on reading.
func TestCommandGolden(t *testing.T) {
	stamp, txns := sample()
	batch, err := EncodeBatch(stamp, txns)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data []byte
		want Command
	}{
		"batch.hex":      {batch, Command{CommandBatch, stamp, txns}},
		"checkpoint.hex": {EncodeCheckpoint(stamp), Command{Kind: CommandCheckpoint, Stamp: stamp}},
		"drop.hex":       {EncodeDropTombstones(stamp), Command{Kind: CommandDropTombstones, Stamp: stamp}},
	} {
		if want := golden(t, name); !bytes.Equal(test.data, want) {
			t.Errorf("%s: encoded\n%x", name, test.data)
		}
		if c, err := DecodeCommand(golden(t, name)); err != nil || !reflect.DeepEqual(c, test.want) {
			t.Errorf("%s: decoded %+v, %v", name, c, err)
		}
		var any []any
		if err := cbor.Unmarshal(test.data[2:], &any); err != nil || any[0] != uint64(stamp) {
			t.Errorf("%s is no CBOR to others: %v", name, err)
		}
	}
}

func drawBytes(t *rapid.T, min, max int, label string) []byte {
	return rapid.SliceOfN(rapid.Byte(), min, max).Draw(t, label)
}

// anyTxn draws any transaction that passes check.
func anyTxn() *rapid.Generator[Txn] {
	kind := rapid.Map(rapid.IntRange(1, kinds-1), func(k int) Kind { return Kind(k) })
	scope := rapid.Map(rapid.IntRange(0, 255), func(i int) ScopeID { return scopeID(i) })
	number := rapid.Uint64Range(0, maxRevision)
	return rapid.Custom(func(t *rapid.T) Txn {
		x := Txn{
			ID:      txnID(rapid.IntRange(0, 1<<40).Draw(t, "id")),
			Request: [32]byte(drawBytes(t, 32, 32, "request")),
			Event:   rapid.StringMatching(`[a-z._]{1,64}`).Draw(t, "event"),
			Based:   rapid.Int64Range(0, maxTime).Draw(t, "based"),
			Long:    rapid.Bool().Draw(t, "long"),
		}
		for range rapid.IntRange(0, 5).Draw(t, "guards") {
			x.Guards = append(x.Guards, Guard{kind.Draw(t, "kind"), ID(drawBytes(t, 1, MaxID, "id")), number.Draw(t, "revision")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "scope guards") {
			g := ScopeGuard{Scope: scope.Draw(t, "scope"), Exact: rapid.Bool().Draw(t, "exact")}
			if n := number.Draw(t, "number"); g.Exact {
				g.Revision = n
			} else {
				g.Below = n
			}
			x.ScopeGuards = append(x.ScopeGuards, g)
		}
		seen := map[Ref]bool{}
		for range rapid.IntRange(0, 5).Draw(t, "writes") {
			w := Write{Kind: kind.Draw(t, "kind"), ID: ID(drawBytes(t, 1, MaxID, "id"))}
			if seen[Ref{w.Kind, w.ID}] {
				continue
			}
			seen[Ref{w.Kind, w.ID}] = true
			w.Revision = max(1, number.Draw(t, "revision"))
			if !w.Kind.clear() {
				w.Term = rapid.Uint32Range(1, 1<<32-1).Draw(t, "term")
			}
			w.Delete = rapid.Bool().Draw(t, "delete")
			w.Body = drawBytes(t, 1, 300, "body")
			if scopes := rapid.SliceOfNDistinct(scope, 0, MaxScopes, rapid.ID[ScopeID]).Draw(t, "scopes"); !w.Delete && len(scopes) > 0 {
				w.Scopes = scopes
			}
			x.Writes = append(x.Writes, w)
		}
		return x
	})
}

func TestTransactionsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := anyTxn().Draw(t, "txn")
		data, err := EncodeTxn(&x)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) != TxnSize(&x) {
			t.Fatalf("%d bytes, TxnSize says %d", len(data), TxnSize(&x))
		}
		back, err := DecodeTxn(data)
		if err != nil || !reflect.DeepEqual(*back, x) {
			t.Fatalf("%+v\n%+v, %v", x, back, err)
		}
		batch, err := EncodeBatch(start, []Txn{x, x})
		if err != nil || len(batch) > BatchOverhead+2*len(data) {
			t.Fatalf("%d bytes, %v", len(batch), err)
		}
		if c, err := DecodeCommand(batch); err != nil || len(c.Txns) != 2 || !reflect.DeepEqual(c.Txns[1], x) {
			t.Fatalf("%+v, %v", c, err)
		}
	})
}

func TestTransactionsThatNoStateCouldApply(t *testing.T) {
	good := func() Txn {
		_, txns := sample()
		return txns[0]
	}
	many := func(n int) (w []Write) {
		for i := range n {
			w = append(w, key(ID(scopeID(i/256).String() + scopeID(i%256).String())[:MaxID], 1))
		}
		return w
	}
	for name, spoil := range map[string]func(*Txn){
		"no id":                 func(x *Txn) { x.ID = TxnID{} },
		"no event":              func(x *Txn) { x.Event = "" },
		"readable event":        func(x *Txn) { x.Event = "Key Created" },
		"long event":            func(x *Txn) { x.Event = strings.Repeat("e", MaxEvent+1) },
		"negative base":         func(x *Txn) { x.Based = -1 },
		"guard of no kind":      func(x *Txn) { x.Guards[0].Kind = 0 },
		"guard of unknown kind": func(x *Txn) { x.Guards[0].Kind = Kind(kinds) },
		"guard of no id":        func(x *Txn) { x.Guards[0].ID = "" },
		"guard revision":        func(x *Txn) { x.Guards[0].Revision = maxRevision + 1 },
		"write of unknown kind": func(x *Txn) { x.Writes[0].Kind = 200 },
		"long id":               func(x *Txn) { x.Writes[0].ID = ID(strings.Repeat("i", MaxID+1)) },
		"revision 0":            func(x *Txn) { x.Writes[0].Revision = 0 },
		"last revision":         func(x *Txn) { x.Writes[0].Revision = maxRevision + 1 },
		"clear text key":        func(x *Txn) { x.Writes[0].Term = 0 },
		"clear text tombstone":  func(x *Txn) { x.Writes[1].Term = 0 },
		"sealed node":           func(x *Txn) { x.Writes[0].Kind = KindNode },
		"no body":               func(x *Txn) { x.Writes[0].Body = nil },
		"large body":            func(x *Txn) { x.Writes[0].Body = make([]byte, MaxBody+1) },
		"a scope twice":         func(x *Txn) { x.Writes[0].Scopes = []ScopeID{{1}, {2}, {1}} },
		"too many scopes":       func(x *Txn) { x.Writes[0].Scopes = make([]ScopeID, MaxScopes+1) },
		"tombstone in a scope":  func(x *Txn) { x.Writes[1].Scopes = []ScopeID{{1}} },
		"a record twice":        func(x *Txn) { x.Writes = append(x.Writes, x.Writes[0]) },
		"too many writes":       func(x *Txn) { x.Writes = many(MaxWrites + 1) },
		"too many guards":       func(x *Txn) { x.Guards = make([]Guard, MaxGuards+1) },
		"too many scope guards": func(x *Txn) { x.ScopeGuards = make([]ScopeGuard, MaxScopeGuards+1) },
		"larger than any command": func(x *Txn) {
			x.Writes = many(3)
			for i := range x.Writes {
				x.Writes[i].Body = make([]byte, MaxBody)
			}
		},
	} {
		x := good()
		spoil(&x)
		if _, err := EncodeTxn(&x); err == nil {
			t.Errorf("%s: encoded alone", name)
		}
		if _, err := EncodeBatch(start, []Txn{good(), x}); err == nil {
			t.Errorf("%s: encoded in a batch", name)
		}
		if x.Based < 0 || TxnSize(&x) > MaxCommand {
			continue
		}
		raw := x.append(nil) // what a node without the check would send
		if _, err := DecodeTxn(raw); err == nil {
			t.Errorf("%s: decoded", name)
		}
		batch := appendArray(appendUint(appendArray([]byte{commandVersion, byte(CommandBatch)}, 2), start), 1)
		if _, err := DecodeCommand(append(batch, raw...)); err == nil {
			t.Errorf("%s: decoded in a batch", name)
		}
	}
	x := good()
	if _, err := EncodeBatch(start, make([]Txn, MaxTxns+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many transactions: %v", err)
	}
	if _, err := EncodeBatch(-1, []Txn{x}); err == nil {
		t.Error("negative stamp")
	}
	x.Writes[0].Body, x.Writes[1].Body = make([]byte, MaxBody), make([]byte, MaxBody-1000)
	if _, err := EncodeBatch(start, []Txn{x, good(), good(), good(), good()}); err == nil || !errors.Is(err, ErrTooLarge) {
		t.Errorf("large batch: %v", err)
	}
}

// Whatever is not written exactly as this package writes it is refused.
func TestOneEncoding(t *testing.T) {
	for name, payload := range map[string]string{
		"long stamp":         "81 1800",
		"longer stamp":       "81 190001",
		"indefinite array":   "9f 00 ff",
		"text for number":    "81 6130",
		"negative":           "81 20",
		"map":                "a1 0000",
		"two stamps":         "82 00 00",
		"no stamp":           "80",
		"reserved head":      "81 1c",
		"half a head":        "81 1b 0000",
		"float":              "81 f90000",
		"tagged":             "81 c000",
		"stamp out of range": "81 1b8000000000000000",
	} {
		raw, err := hex.DecodeString(strings.ReplaceAll(payload, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := DecodeCommand(append([]byte{1, byte(CommandCheckpoint)}, raw...)); err == nil {
			t.Errorf("%s: decoded as %+v", name, c)
		}
	}
}

func TestHugeCountsAllocateNothing(t *testing.T) {
	data := []byte{1, byte(CommandBatch), 0x82, 0x00, 0x99, 0x04, 0x00} // 1,024 transactions, and no more bytes
	const runs = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		if _, err := DecodeCommand(data); !errors.Is(err, errShort) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / runs; n > 4096 {
		t.Fatalf("%d bytes allocated for %d", n, len(data))
	}
}

func FuzzCommand(f *testing.F) {
	for _, name := range []string{"batch.hex", "checkpoint.hex", "drop.hex"} {
		f.Add(golden(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeCommand(data)
		if err != nil {
			return
		}
		var again []byte
		switch c.Kind {
		case CommandBatch:
			if again, err = EncodeBatch(c.Stamp, c.Txns); err != nil {
				t.Fatal(err)
			}
		case CommandCheckpoint:
			again = EncodeCheckpoint(c.Stamp)
		case CommandDropTombstones:
			again = EncodeDropTombstones(c.Stamp)
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("%x\ndecodes, but encodes as\n%x", data, again)
		}
		n := newNode(t)
		n.run(data)
		audit(t, n.View())
	})
}

func FuzzTxn(f *testing.F) {
	_, txns := sample()
	for i := range txns {
		data, err := EncodeTxn(&txns[i])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := DecodeTxn(data)
		if err != nil {
			return
		}
		if again, err := EncodeTxn(x); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x\ndecodes, but encodes as\n%x, %v", data, again, err)
		}
	})
}
