package fsm

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/raft"
)

type Options struct {
	Fatal      func(error)
	RetryLimit int
	Logger     *slog.Logger
}
type FSM struct{}
type View struct{}
type Feed struct{}
type Batch struct {
	View    *View
	Changes []Change
	Reset   bool
}
type Command interface{ command() }

func New(o Options) *FSM                                            { panic("") }
func (f *FSM) Apply(l *raft.Log) any                                { panic("") }
func (f *FSM) ApplyBatch(logs []*raft.Log) []any                    { panic("") }
func (f *FSM) Snapshot() (raft.FSMSnapshot, error)                  { panic("") }
func (f *FSM) Restore(r io.ReadCloser) error                        { panic("") }
func (f *FSM) View() *View                                          { panic("") }
func (f *FSM) Err() error                                           { panic("") }
func (f *FSM) Wait(ctx context.Context, index uint64) error         { panic("") }
func (f *FSM) Subscribe(limit int) *Feed                            { panic("") }
func (f *Feed) Next(ctx context.Context) (Batch, error)             { panic("") }
func (f *Feed) Close()                                              { panic("") }
func (v *View) Index() uint64                                       { panic("") }
func (v *View) Epoch() uint64                                       { panic("") }
func (v *View) LogTime() int64                                      { panic("") }
func (v *View) Get(k Kind, id ID) (Record, bool)                    { panic("") }
func (v *View) GetAny(k Kind, id ID) (Record, bool)                 { panic("") }
func (v *View) Ascend(k Kind, from ID, visit func(ID, Record) bool) { panic("") }
func (v *View) Count(k Kind) int                                    { panic("") }
func (v *View) Scope(s ScopeID) (revision, members uint64)          { panic("") }
func (v *View) Floor(k Kind) uint64                                 { panic("") }
func (v *View) TermCount(term uint32) uint64                        { panic("") }
func (v *View) Txn(id TxnID) (Outcome, bool)                        { panic("") }
func (v *View) Digest() [32]byte                                    { panic("") }
func (v *View) Checkpoint() (index uint64, digest [32]byte)         { panic("") }
func (v *View) Tombstones() (n int, oldest int64)                   { panic("") }
func EncodeBatch(stamp int64, txns []Txn) ([]byte, error)           { panic("") }
func EncodeCheckpoint(stamp int64) []byte                           { panic("") }
func EncodeDropTombstones(stamp int64) []byte                       { panic("") }
func DecodeCommand(data []byte) (Command, error)                    { panic("") }
func EncodeTxn(t *Txn) ([]byte, error)                              { panic("") }
func DecodeTxn(data []byte) (*Txn, error)                           { panic("") }
func TxnSize(t *Txn) int                                            { panic("") }

// BatchOverhead ...
const BatchOverhead = 32

type SnapshotInfo struct {
	Index   uint64
	Digest  [32]byte
	Records int
}

func VerifySnapshot(r io.Reader) (SnapshotInfo, error) { panic("") }
