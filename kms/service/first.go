package service

import (
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/secret"
	"github.com/lockstep-kms/lockstep/seal"
)

// First is what a new account begins with.
type First struct {
	Writes      []fsm.Write
	AccessKeyID string
	Secret      secret.Bytes // the caller wipes it
}

// FirstRecords makes the operator account, its root and the first access key, for init. stamp is
// log time in ms, index that of the view the transaction is based on.
func FirstRecords(b *seal.Barrier, account string, stamp int64, index uint64) (*First, error) {
	return nil, nil
}
