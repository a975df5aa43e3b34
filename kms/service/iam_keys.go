package service

import (
	"crypto/rand"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

func accessKeyUses(all map[*kms.Operation]*use) {
	all[kms.OpCreateAccessKey] = changing(checkHolder, createAccessKey, replayAccessKey)
	all[kms.OpListAccessKeys] = reading(checkHolder, listAccessKeys)
	all[kms.OpUpdateAccessKey] = changing(checkUpdateAccessKey, updateAccessKey, replayAccessKey)
	all[kms.OpDeleteAccessKey] = changing(checkDeleteAccessKey, deleteAccessKey, replayNoAccessKey)
	all[kms.OpGetAccessKeyLastUsed] = reading(checkAccessKey, accessKeyLastUsed)
}

// self returns whose access keys a request is about: the caller's when it names nobody, as at AWS.
func (r *request) self(name string) (string, error) {
	switch {
	case name != "":
		return name, nil
	case r.principal.Type == kms.TypeUser:
		return r.principal.Name, nil
	case r.principal.Type == kms.TypeRoot:
		return kms.RootName, nil
	}
	return "", kms.Errorf(kms.CodeValidation, "Must specify userName when calling with non-User credentials")
}

func (r *request) checkHolderName(name string) error {
	r.note("userName", name)
	name, err := r.self(name)
	if err != nil || name == kms.RootName {
		return err
	}
	return checkName("userName", name, user.name)
}

func checkHolder(r *request, q *kms.IdentityRequest) error { return r.checkHolderName(q.Name) }

// holder finds who holds access keys: a user, or the account's root. Those of the root are for the root alone, whatever a
// policy says: otherwise who may make access keys could become it.
func (r *request) holder(name string) (*catalog.Identity, error) {
	name, err := r.self(name)
	if err != nil {
		return nil, err
	}
	if name != kms.RootName {
		return r.identity(user, name)
	}
	root, err := r.view.Identity(r.scope.Account, kms.IdentityKey(kms.TypeRoot, ""))
	if err != nil {
		return nil, notFound(err, "The account has no root.")
	}
	arn := root.ARN(r.Partition)
	if r.principal.Type != kms.TypeRoot {
		return nil, r.denied(r.op.Action, arn)
	}
	r.resource(arn, typeAccount)
	return root, r.allowIdentity(arn, facts{})
}

func holderName(i *catalog.Identity) string {
	if i.Type == kms.TypeRoot {
		return kms.RootName
	}
	return i.Name
}

func accessKeyEntry(c *kms.Credential, holder string) kms.AccessKeyEntry {
	e := kms.AccessKeyEntry{AccessKeyID: c.AccessKeyID, UserName: holder, Status: kms.AccessKeyActive, CreatedAt: kms.Time(c.Created)}
	if c.Disabled {
		e.Status = kms.AccessKeyInactive
	}
	return e
}

func createAccessKey(r *request, q *kms.IdentityRequest) (*change, error) {
	i, err := r.holder(q.Name)
	if err != nil {
		return nil, err
	}
	ids := r.view.IDs()
	scope := ids.CredentialsOf(i.Account, i.ID)
	if len(r.view.Credentials(i.Account, i.ID)) >= maxAccessKeys {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "Cannot exceed quota for AccessKeysPerUser: %d", maxAccessKeys)
	}
	id, sec, err := auth.NewAccessKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	body := &kms.Credential{Schema: 1, AccessKeyID: id, Account: i.Account, Identity: i.ID, Holder: i.Key(), Secret: kms.Sensitive(sec), Created: r.now()}
	defer sec.Wipe()
	// The first access key of a root is in no scope: that the others are unchanged is guarded beside their number.
	c := &change{event: "access_key.created", guards: []fsm.Guard{i.Guard()}, below: []fsm.ScopeGuard{r.view.Unchanged(scope), {Scope: scope, Below: maxAccessKeys}}}
	c.answer = r.accessKeyAnswer(body, holderName(i), true)
	return c, c.put(r, ids.Credential(id), body, scope)
}

// accessKeyAnswer carries an access key; its secret only where it was just made.
func (r *request) accessKeyAnswer(c *kms.Credential, holder string, made bool) *kms.AccessKeyAnswer {
	answer := &kms.AccessKeyAnswer{AccessKey: accessKeyEntry(c, holder)}
	if made {
		answer.SecretAccessKey = kms.SensitiveString(c.Secret)
	}
	return answer
}

// replayAccessKey answers the access key that an earlier request wrote: the secret too if that made it.
func replayAccessKey(r *request, rs *records) (any, error) {
	i, err := r.holder(accessKeyHolder(r.call.Request))
	if err != nil {
		return nil, err
	}
	c, err := record[kms.Credential](rs, fsm.KindCredential)
	if err == nil && r.op == kms.OpCreateAccessKey && len(c.Secret) == 0 { // a tombstone has none
		err = kms.Errorf(kms.CodeNotFound, "The access key that the first request made was deleted.")
	}
	if err != nil {
		return nil, err
	}
	return r.accessKeyAnswer(c, holderName(i), r.op == kms.OpCreateAccessKey), nil
}

func accessKeyHolder(request any) string {
	switch q := request.(type) {
	case *kms.IdentityRequest:
		return q.Name
	case *kms.UpdateAccessKeyRequest:
		return q.Name
	case *kms.DeleteAccessKeyRequest:
		return q.Name
	}
	return ""
}

func replayNoAccessKey(r *request, _ *records) (any, error) {
	if _, err := r.holder(accessKeyHolder(r.call.Request)); err != nil {
		return nil, err
	}
	return &kms.Empty{}, nil
}

func listAccessKeys(r *request, q *kms.IdentityRequest) (any, error) {
	i, err := r.holder(q.Name)
	if err != nil {
		return nil, err
	}
	answer := &kms.ListAccessKeysAnswer{AccessKeys: []kms.AccessKeyEntry{}}
	for _, c := range r.view.Credentials(i.Account, i.ID) {
		answer.AccessKeys = append(answer.AccessKeys, accessKeyEntry(&c.Credential, holderName(i)))
	}
	return answer, nil
}

func (r *request) checkAccessKeyID(id string) error {
	r.note("accessKeyId", kms.Printable(id))
	if len(id) != auth.AccessKeyIDLength || !inPattern(id, "") {
		return constraint("accessKeyId", "Member must have %d letters and digits", auth.AccessKeyIDLength)
	}
	return nil
}

func checkUpdateAccessKey(r *request, q *kms.UpdateAccessKeyRequest) error {
	r.note("status", string(q.Status))
	return firstOf(r.checkHolderName(q.Name), r.checkAccessKeyID(q.AccessKeyID), required("status", q.Status, kms.AccessKeyStatuses))
}

// accessKeyOf finds an access key of a holder.
func (r *request) accessKeyOf(name, id string) (*catalog.Credential, *catalog.Identity, error) {
	i, err := r.holder(name)
	if err != nil {
		return nil, nil, err
	}
	c, err := r.view.AccessKey(id)
	if err == nil && (c.Account != i.Account || c.Identity != i.ID) {
		err = catalog.ErrNotFound
	}
	return c, i, notFound(err, "The Access Key with id %s cannot be found.", kms.Printable(id))
}

func updateAccessKey(r *request, q *kms.UpdateAccessKeyRequest) (*change, error) {
	old, i, err := r.accessKeyOf(q.Name, q.AccessKeyID)
	if err != nil {
		return nil, err
	}
	body := old.Credential
	body.Disabled = q.Status == kms.AccessKeyInactive
	c := &change{event: "access_key.changed", guards: []fsm.Guard{old.Guard()}, answer: r.accessKeyAnswer(&body, holderName(i), false)}
	if body.Disabled {
		if err := r.keepsRoot(c, i, old); err != nil {
			return nil, err
		}
	}
	return c, c.put(r, fsm.Ref{Kind: fsm.KindCredential, ID: old.Record}, &body, r.view.IDs().CredentialsOf(i.Account, i.ID))
}

// keepsRoot refuses to take away the last access key by which a root can act: nobody else could make it another. The one
// that is left is guarded.
func (r *request) keepsRoot(c *change, i *catalog.Identity, gone *catalog.Credential) error {
	if i.Type != kms.TypeRoot {
		return nil
	}
	for _, other := range r.view.Credentials(i.Account, i.ID) {
		if other.AccessKeyID != gone.AccessKeyID && !other.Disabled {
			c.guard(other.Guard())
			return nil
		}
	}
	return kms.Errorf(kms.CodeInvalidState, "It is the last active access key of the account's root; make another one first.")
}

func checkDeleteAccessKey(r *request, q *kms.DeleteAccessKeyRequest) error {
	return firstOf(r.checkHolderName(q.Name), r.checkAccessKeyID(q.AccessKeyID))
}

// deleteAccessKey leaves no secret in the tombstone.
func deleteAccessKey(r *request, q *kms.DeleteAccessKeyRequest) (*change, error) {
	old, i, err := r.accessKeyOf(q.Name, q.AccessKeyID)
	if err != nil {
		return nil, err
	}
	body := old.Credential
	body.Secret = nil
	c := &change{event: "access_key.deleted", guards: []fsm.Guard{old.Guard()}, answer: &kms.Empty{}}
	if err := r.keepsRoot(c, i, old); err != nil {
		return nil, err
	}
	use := r.view.IDs().AccessKeyUsage(old.Account, old.AccessKeyID)
	c.guard(r.view.Guard(use))
	if r.view.Has(use) {
		if err := c.delete(r, use, catalog.AccessKeyUse{}.Usage(old)); err != nil {
			return nil, err
		}
	}
	return c, c.delete(r, fsm.Ref{Kind: fsm.KindCredential, ID: old.Record}, &body)
}

func checkAccessKey(r *request, q *kms.AccessKeyRequest) error {
	return r.checkAccessKeyID(q.AccessKeyID)
}

// accessKeyLastUsed tells what the members remember of an access key's use.
func accessKeyLastUsed(r *request, q *kms.AccessKeyRequest) (any, error) {
	c, err := r.view.AccessKey(q.AccessKeyID)
	if err == nil && c.Account != r.scope.Account {
		err = catalog.ErrNotFound
	}
	if err != nil {
		if denied := r.allowAll(); denied != nil {
			return nil, denied
		}
		return nil, notFound(err, "The Access Key with id %s cannot be found.", kms.Printable(q.AccessKeyID))
	}
	i, err := r.view.Identity(c.Account, c.Holder)
	if err != nil {
		return nil, notFound(err, "The holder of the access key cannot be found.")
	}
	if i.Type == kms.TypeRoot {
		i, err = r.holder(kms.RootName)
	} else {
		err = r.allowIdentity(i.ARN(r.Partition), facts{tags: i.Tags})
	}
	if kms.CodeOf(err) == kms.CodeAccessDenied { // whose it is, is not told
		err = r.denied(r.op.Action, "*")
	}
	if err != nil {
		return nil, err
	}
	last, silent, err := r.lastUseOf(c)
	if err != nil {
		return nil, err
	}
	return &kms.AccessKeyLastUsedAnswer{UserName: holderName(i), LastUsedDate: timeOf(last.At), ServiceName: last.Service, Region: last.Region, SilentNodes: silent}, nil
}

// lastUseOf returns the last use of an access key that the records or any member that answers know of.
func (r *request) lastUseOf(c *catalog.Credential) (last catalog.AccessKeyUse, silent int, err error) {
	last = r.view.AccessKeyUsed(c.AccessKeyID)
	switch written, err := r.view.AccessKeyUsage(c); {
	case kms.CodeOf(err) == kms.CodeSealed:
		return last, 0, err
	case err != nil:
		r.Logger.ErrorContext(r.ctx, "the record of an access key's use does not open", "access_key", c.AccessKeyID, "error", err)
	case written.At > last.At:
		last = written
	}
	silent, err = askMembers(r, question{AccessKey: c.AccessKeyID}, func(other catalog.AccessKeyUse) bool {
		if other.At > last.At {
			last = other
		}
		return true
	})
	if err != nil {
		return last, 0, err
	}
	last.At = min(last.At, r.now())
	return last, silent, nil
}
