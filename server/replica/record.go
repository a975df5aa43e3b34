package replica

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/lockstep-kms/lockstep/fsm"
)

// nodeRecord is the body of a record of kind node, whose id is the node's name. It is clear text: a
// sealed node has to know its peers.
//
//	{0: schema 1, 1: name, 2: node id, 3: key hash, 4: api addr, 5: peer addr, 6: version,
//	 7: feature level, 8: removed, 9: allowed, 10: [{1: node id, 2: log time ms}, ...]}
type nodeRecord struct {
	Schema       uint8     `cbor:"0,keyasint"`
	Name         string    `cbor:"1,keyasint"`
	NodeID       string    `cbor:"2,keyasint,omitempty"` // "" while a name is only allowed
	KeyHash      []byte    `cbor:"3,keyasint,omitempty"` // SHA-256 of the certificate's public key
	APIAddr      string    `cbor:"4,keyasint,omitempty"`
	PeerAddr     string    `cbor:"5,keyasint,omitempty"`
	Version      string    `cbor:"6,keyasint,omitempty"`
	FeatureLevel uint32    `cbor:"7,keyasint,omitempty"`
	Removed      bool      `cbor:"8,keyasint,omitempty"`
	Allowed      bool      `cbor:"9,keyasint,omitempty"`  // may join once, whatever else the record says
	Retired      []retired `cbor:"10,keyasint,omitempty"` // earlier incarnations, oldest first
}

// retired is an incarnation that another one replaced.
type retired struct {
	ID string `cbor:"1,keyasint"`
	At int64  `cbor:"2,keyasint"` // log time, ms
}

const maxRetired = 16

// retire notes the current incarnation as a former one.
func (n *nodeRecord) retire(at int64) {
	if n.NodeID == "" || n.isRetired(n.NodeID) {
		return
	}
	n.Retired = append(slices.Clone(n.Retired), retired{ID: n.NodeID, At: at})
	if over := len(n.Retired) - maxRetired; over > 0 {
		n.Retired = n.Retired[over:]
	}
}

func (n *nodeRecord) isRetired(id string) bool {
	return slices.ContainsFunc(n.Retired, func(r retired) bool { return r.ID == id })
}

var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		MaxArrayElements: 4096, MaxMapPairs: 64, MaxNestedLevels: 8, TagsMd: cbor.TagsForbidden,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encode(v any) []byte { return must(encMode.Marshal(v)) }

func decodeNode(body []byte) (nodeRecord, error) {
	var n nodeRecord
	if err := decMode.Unmarshal(body, &n); err != nil {
		return nodeRecord{}, errorf(KindInvalid, "a node record does not decode: %v", err)
	}
	if n.Schema != 1 || n.Name == "" || len(n.KeyHash) != 0 && len(n.KeyHash) != sha256.Size {
		return nodeRecord{}, errorf(KindInvalid, "a node record has an unknown form")
	}
	return n, nil
}

// node returns the record of the node called name. One that does not decode counts as absent, but
// has a revision.
func node(v *fsm.View, name string) (n nodeRecord, revision uint64, ok bool) {
	rec, live := v.Get(fsm.KindNode, fsm.ID(name))
	if !live {
		return nodeRecord{}, 0, false
	}
	n, err := decodeNode(rec.Body)
	return n, rec.Revision, err == nil
}

// nodes returns every node record by name.
func nodes(v *fsm.View) map[string]nodeRecord {
	all := map[string]nodeRecord{}
	v.Ascend(fsm.KindNode, "", func(_ fsm.ID, rec fsm.Record) bool {
		if n, err := decodeNode(rec.Body); err == nil {
			all[n.Name] = n
		}
		return true
	})
	return all
}

// nodeTxn is the transaction that replaces the record n.Name, last seen live at revision (0: none) in v.
func nodeTxn(v *fsm.View, n nodeRecord, revision uint64, event string, based int64) *fsm.Txn {
	id, old := fsm.ID(n.Name), uint64(0)
	if rec, any := v.GetAny(fsm.KindNode, id); any {
		old = rec.Revision
	}
	t := &fsm.Txn{
		Event: event, Based: based,
		Guards: []fsm.Guard{{Kind: fsm.KindNode, ID: id, Revision: revision}},
		Writes: []fsm.Write{{
			Kind: fsm.KindNode, ID: id, Revision: max(old, v.Index(), v.Floor(fsm.KindNode)) + 1, Body: encode(n),
		}},
	}
	rand.Read(t.ID[:])
	t.Request = sha256.Sum256(t.Writes[0].Body)
	return t
}
