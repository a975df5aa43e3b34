package service

import (
	"context"
	"regexp"
	"strings"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// Managed keys come into being when an alias/aws/NAME of an account and region is used for the first time.
// They rotate yearly, and nobody disables, deletes or describes them anew: request.begin refuses it.

// unmadeKey says that a managed alias has no key yet. It never leaves.
type unmadeKey struct{ alias string }

func (*unmadeKey) Error() string { return "the managed key is not made yet" }

// managedName is what a managed alias is called: as a service is.
var managedName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// makesManaged reports whether the operation uses the key of an alias in a way that makes a managed one.
// Nothing can be decrypted under a key that is made now.
func (r *request) makesManaged(alias string) bool {
	name, managed := strings.CutPrefix(alias, kms.ManagedAliasPrefix)
	if !managed || !managedName.MatchString(name) || r.opening {
		return false
	}
	switch r.op {
	case kms.OpEncrypt, kms.OpReEncrypt:
		return r.encryption == kms.AlgorithmSymmetricDefault
	case kms.OpGenerateDataKey, kms.OpGenerateDataKeyWithoutPlaintext, kms.OpGenerateDataKeyPair, kms.OpGenerateDataKeyPairWithoutPlaintext, kms.OpDescribeKey:
		return true
	}
	return false
}

// managedKey decides on the key of a managed alias, for a caller whom the policy of that key allows what it
// is about to do.
func (r *request) managedKey(alias string) (*change, error) {
	k, err := r.newKey(&kms.CreateKeyRequest{Description: "Default key of " + alias + "."})
	if err != nil {
		return nil, err
	}
	now := r.now()
	k.Managed = alias
	k.Rotation = &kms.Rotation{Period: defaultRotation, Next: nextRotation(now, defaultRotation)}
	action := r.op.Action
	if r.op == kms.OpReEncrypt {
		action = "kms:ReEncryptTo"
	}
	made := &catalog.Key{Key: *k, ARN: kms.ARN(r.Partition, k.Scope, "key/"+k.ID)}
	err = r.allow(&auth.Query{Action: action, Resource: made.ARN, ResourceAccount: k.Scope.Account,
		Key: true, Policy: r.view.DefaultPolicy(k.Scope.Account).Policy()}, facts{key: made, alias: alias})
	if err != nil {
		return nil, err
	}
	ids := r.view.IDs()
	managed := ids.ManagedOf(k.Scope)
	if r.view.Members(managed) >= maxManaged {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "The account has %d managed keys in this region, which is the limit.", maxManaged)
	}
	c := &change{event: "key.created", below: []fsm.ScopeGuard{{Scope: managed, Below: maxManaged}}, answer: r.metadata(k)}
	c.guard(catalog.Absent(ids.Alias(k.Scope, alias)))
	if r.dryRun {
		return nil, errDryRun()
	}
	if err := r.writeNewKey(c, k); err != nil {
		return nil, err
	}
	return c, c.put(r, ids.Alias(k.Scope, alias), &kms.Alias{Schema: 1, Scope: k.Scope, Name: alias, KeyID: k.ID, Created: now, Updated: now},
		ids.AliasesOf(k.Scope, k.ID), managed)
}

// maxManaged is how many managed keys an account has in a region at most: nobody can delete one.
const maxManaged = 64

// makeManaged makes the key of a managed alias, or finds that another request made it meanwhile.
func (r *request) makeManaged(ctx context.Context, alias string) error {
	if err := r.Audit.Healthy(); err != nil {
		return err
	}
	guarding := r.guarding
	r.guarding = true
	defer func() { r.guarding = guarding }()
	var arn string
	done, err := r.commit(ctx, func() (*change, error) {
		made, err := r.attempt(func(r *request) (any, error) {
			if _, err := r.view.Alias(r.scope, alias); err == nil {
				return (*change)(nil), nil
			}
			return r.managedKey(alias)
		})
		if err != nil {
			return nil, err
		}
		c := made.(*change)
		if c != nil {
			arn = c.answer.(*kms.KeyAnswer).Key.ARN
		}
		return c, nil
	})
	if done || kms.CodeOf(err) == kms.CodeOutcomeUnknown { // what may have been made is recorded too
		if blocked := r.auditEvent(kms.OpCreateKey.Name, r.scope, arn, err); err == nil {
			err = blocked
		}
	}
	return err
}
