package catalog

import "github.com/lockstep-kms/lockstep/fsm"

// dropRecord takes out whatever was read from a record that can no longer be read, so that nothing
// is honoured that was changed since. Which object that is only the record itself could tell: it is
// looked for among all of them, which is slow and happens to damaged records only.
func (b *builder) dropRecord(ref fsm.Ref) {
	if ref.Kind == fsm.KindSetting {
		b.dropSetting(ref)
		return
	}
	if ref.Kind == fsm.KindGrant {
		b.dropGrant(ref.ID)
		return
	}
	for id, a := range b.accounts {
		if a.dropRecord(b, ref) {
			b.dirty[id] = a
			return
		}
	}
}

func (b *builder) dropSetting(ref fsm.Ref) {
	var name string
	b.settings.Scan(func(n string, s *Setting) bool {
		if s.Record == ref.ID {
			name = n
		}
		return name == ""
	})
	b.settings.Delete(name)
}

// dropRecord reports whether the record was one of the account's.
func (a *account) dropRecord(b *builder, ref fsm.Ref) bool {
	switch ref.Kind {
	case fsm.KindAccount:
		if a.account != nil && a.account.Record == ref.ID {
			a.account = nil
			return true
		}
	case fsm.KindIdentity, fsm.KindCredential, fsm.KindManagedPolicy, fsm.KindProvider:
		if a.dropPerson(b, ref) {
			a.changed = true
			return true
		}
	default:
		for _, r := range a.regions {
			if r.dropRecord(b, ref) {
				a.touched[r] = struct{}{}
				return true
			}
		}
	}
	return false
}

func (r *region) dropRecord(b *builder, ref fsm.Ref) bool {
	switch ref.Kind {
	case fsm.KindKey:
		k := r.findKey(func(k *Key) bool { return k.Record == ref.ID })
		if k != nil {
			b.dropKey(r, k.Raw)
		}
		return k != nil
	case fsm.KindPolicy:
		k := r.findKey(func(k *Key) bool { return k.Policy.Record == ref.ID })
		if k == nil {
			return false
		}
		without := *k
		without.Policy = Policy{Record: ref.ID}
		b.setKey(r, &without)
		return true
	case fsm.KindAlias:
		var alias *Alias
		r.aliases.Scan(func(_ string, a *Alias) bool {
			if a.Record == ref.ID {
				alias = a
			}
			return alias == nil
		})
		if alias != nil {
			r.aliases.Delete(alias.Name)
			r.byTarget.Delete(targetPivot(alias.Target, alias.Name))
		}
		return alias != nil
	}
	return false
}

func (r *region) findKey(is func(*Key) bool) (found *Key) {
	r.keys.Scan(func(item keyItem) bool {
		if is(item.key) {
			found = item.key
		}
		return found == nil
	})
	return found
}
