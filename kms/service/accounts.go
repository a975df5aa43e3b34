package service

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

const maxAccountName = 256 // characters

func accountUses(all map[*kms.Operation]*use) {
	all[kms.OpGetCallerIdentity] = reading(unchecked[kms.Empty], callerIdentity)
	all[kms.OpCreateAccount] = changing(checkCreateAccount, createAccount, replayCreateAccount)
	all[kms.OpListAccounts] = reading(checkListAccounts, listAccounts)
	all[kms.OpDisableAccount] = changing(checkAccount, disableAccount, replayAccount)
}

func callerIdentity(r *request, _ *kms.Empty) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	return &kms.CallerIdentityAnswer{Account: r.principal.Account, ARN: r.principal.ARN, UserID: r.principal.UserID}, nil
}

func accountEntry(a *kms.Account) kms.AccountEntry {
	return kms.AccountEntry{AccountID: a.ID, Name: a.Name, Operator: a.Operator, Disabled: a.Disabled, CreatedAt: kms.Time(a.Created)}
}

func checkAccountID(id string) error {
	bad := len(id) != 12
	for i := range len(id) {
		bad = bad || id[i] < '0' || id[i] > '9'
	}
	if bad {
		return kms.Errorf(kms.CodeValidation, "An account id has 12 digits.")
	}
	return nil
}

func checkCreateAccount(r *request, q *kms.CreateAccountRequest) error {
	if q.AccountID != "" {
		if err := checkAccountID(q.AccountID); err != nil {
			return err
		}
	}
	if !utf8.ValidString(q.Name) || utf8.RuneCountInString(q.Name) > maxAccountName {
		return constraint("name", "Member must have length less than or equal to %d", maxAccountName)
	}
	r.note("accountId", q.AccountID)
	r.note("name", q.Name)
	return nil
}

// account describes one account, its root and the root's first access key.
type account struct {
	account    kms.Account
	identity   kms.Identity
	credential kms.Credential
}

// newAccount makes an account. The caller wipes the credential's secret.
func newAccount(id, name string, operator bool, stamp int64) (*account, error) {
	accessKeyID, sec, err := auth.NewAccessKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &account{
		account:  kms.Account{Schema: 1, ID: id, Name: name, Operator: operator, Created: stamp},
		identity: kms.Identity{Schema: 1, Account: id, ID: id, Type: kms.TypeRoot, Created: stamp},
		credential: kms.Credential{Schema: 1, AccessKeyID: accessKeyID, Account: id, Identity: id,
			Secret: kms.Sensitive(sec), Created: stamp},
	}, nil
}

// write writes the three records.
func (a *account) write(ids catalog.IDs, put func(ref fsm.Ref, body any) error) error {
	if err := put(ids.Account(a.account.ID), &a.account); err != nil {
		return err
	}
	if err := put(ids.Identity(a.identity.Account, a.identity.ID), &a.identity); err != nil {
		return err
	}
	return put(ids.Credential(a.credential.AccessKeyID), &a.credential)
}

func createAccount(r *request, q *kms.CreateAccountRequest) (*change, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	id := q.AccountID
	if id == "" {
		n, err := rand.Int(rand.Reader, big.NewInt(1_000_000_000_000))
		if err != nil {
			return nil, err
		}
		id = fmt.Sprintf("%012d", n)
	}
	ids := r.view.IDs()
	_, err := r.view.Account(id)
	free, err := absent(err, ids.Account(id), "The account %s exists already.", id)
	if err != nil {
		return nil, err
	}
	a, err := newAccount(id, q.Name, false, r.now())
	if err != nil {
		return nil, err
	}
	c := &change{event: "account.created", guards: []fsm.Guard{free}}
	if err := a.write(ids, func(ref fsm.Ref, body any) error { return c.put(r, ref, body) }); err != nil {
		return nil, err
	}
	c.answer = r.accountAnswer(&a.account, &a.credential)
	return c, nil
}

// accountAnswer is the one answer that tells a secret access key.
func (r *request) accountAnswer(a *kms.Account, c *kms.Credential) *kms.CreateAccountAnswer {
	if r.found == 0 {
		r.accountResource(a.ID)
	}
	return &kms.CreateAccountAnswer{Account: accountEntry(a), AccessKeyID: c.AccessKeyID, SecretAccessKey: kms.SensitiveString(c.Secret)}
}

func (r *request) accountResource(id string) {
	r.resource("arn:"+r.Partition+":iam::"+id+":root", typeAccount)
}

func replayCreateAccount(r *request, rs *records) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	a, err := record[kms.Account](rs, fsm.KindAccount)
	if err != nil {
		return nil, err
	}
	c, err := record[kms.Credential](rs, fsm.KindCredential)
	if err != nil {
		return nil, err
	}
	return r.accountAnswer(a, c), nil
}

func checkAccount(r *request, q *kms.AccountRequest) error {
	if err := checkAccountID(q.AccountID); err != nil {
		return err
	}
	r.note("accountId", q.AccountID)
	return nil
}

func disableAccount(r *request, q *kms.AccountRequest) (*change, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	old, err := r.view.Account(q.AccountID)
	if err != nil {
		return nil, notFound(err, "The account %s does not exist.", q.AccountID)
	}
	r.accountResource(old.ID)
	if old.Operator {
		return nil, kms.Errorf(kms.CodeInvalidState, "The operator account cannot be disabled.")
	}
	a := old.Account
	a.Disabled = true
	c := &change{event: "account.disabled", guards: []fsm.Guard{old.Guard()}, answer: &kms.AccountAnswer{Account: accountEntry(&a)}}
	return c, c.put(r, fsm.Ref{Kind: fsm.KindAccount, ID: old.Record}, &a)
}

func replayAccount(r *request, rs *records) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	a, err := record[kms.Account](rs, fsm.KindAccount)
	if err != nil {
		return nil, err
	}
	r.accountResource(a.ID)
	return &kms.AccountAnswer{Account: accountEntry(a)}, nil
}

func checkListAccounts(r *request, q *kms.ListRequest) error { return checkIdentityList(r, q) }

func listAccounts(r *request, q *kms.ListRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	shown, more := page(r.view.Accounts(after, limit+1), limit)
	answer := &kms.ListAccountsAnswer{Accounts: make([]kms.AccountEntry, len(shown))}
	for i, a := range shown {
		answer.Accounts[i] = accountEntry(&a.Account)
	}
	if more {
		answer.NextMarker = r.marker(shown[len(shown)-1].ID)
	}
	return answer, nil
}
