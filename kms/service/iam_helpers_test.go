package service_test

import (
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// rule is a statement of an identity policy. Actions and resources are separated by blanks; a condition is the text of
// the Condition element.
func rule(effect, actions, resources string, condition ...string) string {
	list := func(all string) string { return `["` + strings.Join(strings.Fields(all), `","`) + `"]` }
	text := `{"Effect":"` + effect + `","Action":` + list(actions) + `,"Resource":` + list(resources)
	if len(condition) > 0 {
		text += `,"Condition":` + condition[0]
	}
	return text + "}"
}

func rules(statements ...string) kms.PolicyDocument {
	return kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)
}

func permit(actions, resources string, condition ...string) kms.PolicyDocument {
	return rules(rule("Allow", actions, resources, condition...))
}

func forbid(actions, resources string) kms.PolicyDocument {
	return rules(rule("Deny", actions, resources))
}

func iamARN(account, resource string) string { return "arn:aws:iam::" + account + ":" + resource }

// hire makes a user of alice's account with an access key and, unless it is "", an inline policy.
func (w *world) hire(t testing.TB, name string, document kms.PolicyDocument) servicetest.Credentials {
	t.Helper()
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: name})
	w.put(t, "user/", name, document)
	return w.accessKey(t, name)
}

// put gives someone of alice's account an inline policy.
func (w *world) put(t testing.TB, noun, name string, document kms.PolicyDocument) {
	t.Helper()
	if document != "" {
		w.must(t, w.alice, kinOf(noun).put, &kms.PutInlinePolicyRequest{Name: name, PolicyName: "p", PolicyDocument: document})
	}
}

// accessKey makes an access key of a user of alice's account.
func (w *world) accessKey(t testing.TB, name string) servicetest.Credentials {
	t.Helper()
	a := w.must(t, w.alice, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: name}).(*kms.AccessKeyAnswer)
	return servicetest.Credentials{AccessKeyID: a.AccessKey.AccessKeyID, Secret: string(a.SecretAccessKey)}
}

// publish makes a managed policy of alice's account and returns its ARN.
func (w *world) publish(t testing.TB, name string, document kms.PolicyDocument) string {
	t.Helper()
	return w.must(t, w.alice, kms.OpCreatePolicy, &kms.CreatePolicyRequest{Name: name, PolicyDocument: document}).(*kms.PolicyAnswer).Policy.ARN
}

// gather makes a group of alice's account with users and an inline policy.
func (w *world) gather(t testing.TB, name string, document kms.PolicyDocument, users ...string) {
	t.Helper()
	w.must(t, w.alice, kms.OpCreateGroup, &kms.CreateGroupRequest{Name: name})
	w.put(t, "group/", name, document)
	for _, u := range users {
		w.must(t, w.alice, kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: name, UserName: u})
	}
}

func kinOf(noun string) kin {
	for _, k := range kins {
		if k.noun == noun {
			return k
		}
	}
	panic("there is no " + noun)
}

// creating returns the request that makes one of a kin in alice's account.
func (k kin) creating(name, path string) any {
	switch q := k.made(&topic{n: name, account: aliceID}).(type) {
	case *kms.CreateUserRequest:
		q.Path, q.Tags = path, nil
		return q
	case *kms.CreateGroupRequest:
		q.Path = path
		return q
	case *kms.CreateRoleRequest:
		q.Path = path
		return q
	default:
		return q
	}
}

// entryOf returns the identity that an answer carries.
func entryOf(answer any) kms.IdentityEntry {
	switch a := answer.(type) {
	case *kms.UserAnswer:
		return a.User
	case *kms.GroupAnswer:
		return a.Group
	case *kms.GetGroupAnswer:
		return a.Group
	case *kms.RoleAnswer:
		return a.Role
	}
	return kms.IdentityEntry{}
}

// uses tries whether somebody may encrypt with a key.
func uses(n *servicetest.Node, who servicetest.Credentials, key string) error {
	_, err := n.Do(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
	return err
}

// once is the fault that does something before the first proposal from now on.
func once(do func()) servicetest.Faults {
	done := false
	return servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if !done {
			done = true
			do()
		}
	}}
}

// fill writes as many records into a scope as are asked for, behind the node's back.
func (w *world) fill(t *testing.T, n int, scope func(catalog.IDs) fsm.ScopeID, ref func(catalog.IDs, int) (fsm.Ref, any)) {
	t.Helper()
	b := w.Barrier()
	defer b.Wipe()
	ids, state := catalog.NewIDs(b), w.State()
	for from := 0; from < n; from += 250 {
		var writes []fsm.Write
		for i := from; i < min(n, from+250); i++ {
			at, body := ref(ids, i)
			write, err := catalog.Write(b, at, state.Index()+uint64(n), body, scope(ids))
			if err != nil {
				t.Fatal(err)
			}
			writes = append(writes, write)
		}
		if o := w.Commit(&fsm.Txn{ID: servicetest.NewTxnID(), Event: "test.filled", Based: state.LogTime(), Writes: writes})[0]; o.Status != fsm.Applied {
			t.Fatalf("%+v", o)
		}
	}
	want(t, "catch up", w.CatchUp(t.Context()), "")
}
