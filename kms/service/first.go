package service

import (
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/seal"
	"github.com/lockstep-kms/lockstep/secret"
)

// First is what a cluster begins with.
type First struct {
	Writes      []fsm.Write
	AccessKeyID string
	Secret      secret.Bytes // the caller wipes it
}

// FirstRecords makes the operator account, its root and the root's access key, for init: account has
// 12 digits, stamp is log time in ms, index that of the state the transaction is based on. The
// errors are CodeValidation and the barrier's.
func FirstRecords(b *seal.Barrier, id string, stamp int64, index uint64) (*First, error) {
	if err := checkAccountID(id); err != nil {
		return nil, err
	}
	a, err := newAccount(id, "", true, stamp)
	if err != nil {
		return nil, err
	}
	first := &First{AccessKeyID: a.credential.AccessKeyID, Secret: secret.Bytes(a.credential.Secret)}
	err = a.write(catalog.NewIDs(b), func(ref fsm.Ref, body any) error {
		w, err := catalog.Write(b, ref, index+1, body)
		first.Writes = append(first.Writes, w)
		return err
	})
	if err != nil {
		first.Secret.Wipe()
		return nil, err
	}
	return first, nil
}
