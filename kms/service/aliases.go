package service

import (
	"errors"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

func aliasUses(all map[*kms.Operation]*use) {
	all[kms.OpCreateAlias] = changing(checkCreateAlias, createAlias, replayAlias)
	all[kms.OpUpdateAlias] = changing(checkUpdateAlias, updateAlias, replayAlias)
	all[kms.OpDeleteAlias] = changing(checkDeleteAlias, deleteAlias, replayDeleteAlias)
	all[kms.OpListAliases] = reading(checkListAliases, listAliases)
}

func (r *request) aliasEntry(a *kms.Alias) kms.AliasEntry {
	return kms.AliasEntry{
		AliasName: a.Name, AliasARN: kms.ARN(r.Partition, a.Scope, a.Name), TargetKeyID: a.KeyID,
		CreationDate: kms.Time(a.Created), LastUpdatedDate: kms.Time(a.Updated),
	}
}

func checkCreateAlias(r *request, q *kms.CreateAliasRequest) error {
	return r.checkAlias(q.AliasName, q.TargetKeyID)
}

func checkUpdateAlias(r *request, q *kms.UpdateAliasRequest) error {
	return r.checkAlias(q.AliasName, q.TargetKeyID)
}

// checkAlias refuses names that no alias has, and targets that are aliases.
func (r *request) checkAlias(name, target string) (err error) {
	if err := kms.ValidateAliasName(name); err != nil {
		return err
	}
	if r.key, err = r.parseKey(target); err != nil {
		return err
	}
	if r.key.Alias != "" {
		return kms.Errorf(kms.CodeValidation, "Aliases must refer to keys. Not aliases")
	}
	r.note("aliasName", name)
	r.note("targetKeyId", target)
	return nil
}

func createAlias(r *request, q *kms.CreateAliasRequest) (*change, error) {
	if err := r.allowAlias(q.AliasName); err != nil {
		return nil, err
	}
	k, _, err := r.begin("alias.created")
	if err != nil {
		return nil, err
	}
	arn := r.aliasResource(q.AliasName)
	_, err = r.view.Alias(r.scope, q.AliasName)
	free, err := absent(err, r.view.IDs().Alias(r.scope, q.AliasName), "An alias with the name %s already exists", arn)
	if err != nil {
		return nil, err
	}
	now := r.now()
	alias := &kms.Alias{Schema: 1, Scope: r.scope, Name: q.AliasName, KeyID: k.ID, Created: now, Updated: now}
	return r.writeAlias("alias.created", alias, k, free)
}

func updateAlias(r *request, q *kms.UpdateAliasRequest) (*change, error) {
	if err := r.allowAlias(q.AliasName); err != nil {
		return nil, err
	}
	to, _, err := r.begin("alias.updated")
	if err != nil {
		return nil, err
	}
	old, guards, err := r.findAlias(q.AliasName)
	if err != nil {
		return nil, err
	}
	if err := r.sameKind(old, to); err != nil {
		return nil, err
	}
	alias := old.Alias
	alias.KeyID, alias.Updated = to.ID, r.now()
	if old.KeyID == to.ID {
		return r.rewriteAlias(&alias, to, guards)
	}
	return r.writeAlias("alias.updated", &alias, to, guards...)
}

// sameKind refuses to move an alias between keys of different kinds: whoever uses it would do so with the
// wrong algorithms. An alias whose key is gone goes anywhere.
func (r *request) sameKind(alias *catalog.Alias, to *catalog.Key) error {
	from, err := r.view.Key(r.scope, alias.Target)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	asymmetric := func(k *catalog.Key) bool {
		spec, known := k.Spec.Spec()
		return known && spec.Asymmetric
	}
	if from.Usage != to.Usage || asymmetric(from) != asymmetric(to) {
		return kms.Errorf(kms.CodeValidation, "An alias moves between keys of one type and usage: %s is of key spec %s for %s, %s of key spec %s for %s.",
			from.ARN, from.Spec, from.Usage, to.ARN, to.Spec, to.Usage)
	}
	return nil
}

// findAlias returns an alias that the caller may change, with the guards of what was read: the key
// it names must allow it too, unless that key is gone.
func (r *request) findAlias(name string) (*catalog.Alias, []fsm.Guard, error) {
	arn := r.aliasResource(name)
	old, err := r.view.Alias(r.scope, name)
	if err != nil {
		return nil, nil, notFound(err, "Alias %s is not found.", arn)
	}
	guards := []fsm.Guard{old.Guard()}
	from, err := r.view.Key(r.scope, old.Target)
	switch {
	case err == nil:
		guards = append(guards, from.Guard())
		r.resource(from.ARN, typeKey)
		err = r.allowKey(from, r.op.Action, name, nil)
	case errors.Is(err, catalog.ErrNotFound):
		guards = append(guards, catalog.Absent(r.view.IDs().Key(r.scope, old.KeyID)))
		err = nil
	}
	return old, guards, err
}

// aliasResource notes an alias for the audit record and returns its ARN.
func (r *request) aliasResource(name string) string {
	arn := kms.ARN(r.Partition, r.scope, name)
	r.resource(arn, typeAlias)
	return arn
}

// writeAlias writes an alias that comes to a key, within the key's limit.
func (r *request) writeAlias(event string, alias *kms.Alias, k *catalog.Key, guards ...fsm.Guard) (*change, error) {
	scope := r.view.IDs().AliasesOf(k.Scope, k.ID)
	if r.view.Members(scope) >= maxAliasesOfKey {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "The key %s has %d aliases, which is the limit.", k.ARN, maxAliasesOfKey)
	}
	c, err := r.rewriteAlias(alias, k, guards)
	if err == nil {
		c.event, c.below = event, []fsm.ScopeGuard{{Scope: scope, Below: maxAliasesOfKey}}
	}
	return c, err
}

// rewriteAlias writes an alias of a key that it names already.
func (r *request) rewriteAlias(alias *kms.Alias, k *catalog.Key, guards []fsm.Guard) (*change, error) {
	ids := r.view.IDs()
	c := &change{event: "alias.updated", guards: append(guards, k.Guard()), answer: &kms.AliasAnswer{Alias: r.aliasEntry(alias)}}
	return c, c.put(r, ids.Alias(alias.Scope, alias.Name), alias, ids.AliasesOf(k.Scope, k.ID))
}

// replayAlias answers the alias that an earlier request wrote, as it is now or was last.
func replayAlias(r *request, rs *records) (any, error) {
	a, err := record[kms.Alias](rs, fsm.KindAlias)
	if err != nil {
		return nil, err
	}
	r.aliasResource(a.Name)
	if err := r.allowAlias(a.Name); err != nil {
		return nil, err
	}
	return &kms.AliasAnswer{Alias: r.aliasEntry(a)}, nil
}

func checkDeleteAlias(r *request, q *kms.DeleteAliasRequest) error {
	if err := kms.ValidateAliasName(q.AliasName); err != nil {
		return err
	}
	r.note("aliasName", q.AliasName)
	return nil
}

func deleteAlias(r *request, q *kms.DeleteAliasRequest) (*change, error) {
	if err := r.allowAlias(q.AliasName); err != nil {
		return nil, err
	}
	old, guards, err := r.findAlias(q.AliasName)
	if err != nil {
		return nil, err
	}
	w, err := r.view.Delete(fsm.Ref{Kind: fsm.KindAlias, ID: old.Record}, &old.Alias)
	return &change{event: "alias.deleted", guards: guards, writes: []fsm.Write{w}, answer: &kms.Empty{}}, err
}

func replayDeleteAlias(r *request, rs *records) (any, error) {
	if _, err := replayAlias(r, rs); err != nil {
		return nil, err
	}
	return &kms.Empty{}, nil
}

func checkListAliases(r *request, q *kms.ListAliasesRequest) (err error) {
	if q.KeyID != "" {
		if r.key, err = r.parseKey(q.KeyID); err != nil {
			return err
		}
		if r.key.Alias != "" {
			return kms.Errorf(kms.CodeInvalidKeyID, "Invalid keyId '%s'", kms.Printable(q.KeyID))
		}
	}
	r.note("keyId", q.KeyID)
	r.notePage(q.Limit, q.Marker)
	return checkLimit(q.Limit, 100)
}

func listAliases(r *request, q *kms.ListAliasesRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	var all []*catalog.Alias
	if q.KeyID == "" {
		all = r.view.Aliases(r.scope, after, limit+1)
	} else {
		k, err := r.findKey(r.key, r.op.Action)
		if err != nil {
			return nil, err
		}
		all = r.view.AliasesOf(r.scope, k.Raw, after, limit+1)
	}
	shown, more := page(all, limit)
	answer := &kms.ListAliasesAnswer{Aliases: make([]kms.AliasEntry, len(shown))}
	for i, a := range shown {
		answer.Aliases[i] = r.aliasEntry(&a.Alias)
	}
	if more {
		answer.NextMarker = r.marker(shown[len(shown)-1].Name)
	}
	return answer, nil
}
