package sdk

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var grantCases = map[string]func(*testing.T, *kms.Client){
	"CreateGrant":         grants,
	"ListGrants":          grants,
	"ListRetirableGrants": grants,
	"RetireGrant":         grants,
	"RevokeGrant":         grants,
}

// byID compares grants in the order of their ids.
func byID(all []types.GrantListEntry) []types.GrantListEntry {
	slices.SortFunc(all, func(a, b types.GrantListEntry) int {
		if *a.GrantId < *b.GrantId {
			return -1
		}
		return 1
	})
	return all
}

func grants(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	grantee, retiring := "arn:aws:iam::"+account(t)+":user/"+unique(), "arn:aws:iam::"+account(t)+":role/"+unique()
	asked := []*kms.CreateGrantInput{
		{KeyId: k.KeyId, GranteePrincipal: &grantee, Operations: []types.GrantOperation{"Decrypt"}},
		{KeyId: k.Arn, GranteePrincipal: &grantee, RetiringPrincipal: &retiring, Name: aws.String("named"), Operations: []types.GrantOperation{"Decrypt", "DescribeKey", "Encrypt"},
			Constraints: &types.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "b"}}},
		{KeyId: k.KeyId, GranteePrincipal: &retiring, RetiringPrincipal: &retiring, Name: aws.String("other"), Operations: []types.GrantOperation{"GenerateDataKey"},
			Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"c": "d", "e": "f"}}},
	}
	var want []types.GrantListEntry
	tokens := map[string]*string{}
	for _, q := range asked {
		out := call(t, c.CreateGrant, q)
		if len(aws.ToString(out.GrantId)) != 64 || aws.ToString(out.GrantToken) == "" {
			t.Errorf("CreateGrant answered %+v", out)
		}
		tokens[*out.GrantId] = out.GrantToken
		want = append(want, types.GrantListEntry{KeyId: k.Arn, GrantId: out.GrantId, Name: q.Name, GranteePrincipal: q.GranteePrincipal, RetiringPrincipal: q.RetiringPrincipal,
			IssuingAccount: aws.String(root(t)), Operations: q.Operations, Constraints: q.Constraints})
	}
	list := func(q *kms.ListGrantsInput) []types.GrantListEntry {
		t.Helper()
		var all []types.GrantListEntry
		q.KeyId, q.Limit = k.KeyId, aws.Int32(1)
		pages := kms.NewListGrantsPaginator(c, q)
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page.Grants...)
		}
		return checkDates(t, all)
	}
	equal(t, "all", list(&kms.ListGrantsInput{}), byID(slices.Clone(want)))
	equal(t, "by id", list(&kms.ListGrantsInput{GrantId: want[1].GrantId}), want[1:2])
	equal(t, "by grantee", list(&kms.ListGrantsInput{GranteePrincipal: &grantee}), byID(slices.Clone(want[:2])))

	var retirable []types.GrantListEntry
	pages := kms.NewListRetirableGrantsPaginator(c, &kms.ListRetirableGrantsInput{RetiringPrincipal: &retiring, Limit: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		retirable = append(retirable, page.Grants...)
	}
	equal(t, "retirable", byID(checkDates(t, retirable)), byID(slices.Clone(want[1:])))

	// The root of the issuing account retires and revokes.
	call(t, c.RetireGrant, &kms.RetireGrantInput{GrantToken: tokens[*want[0].GrantId]})
	call(t, c.RetireGrant, &kms.RetireGrantInput{KeyId: k.Arn, GrantId: want[1].GrantId})
	call(t, c.RevokeGrant, &kms.RevokeGrantInput{KeyId: k.KeyId, GrantId: want[2].GrantId})
	for range 3 {
		equal(t, "grants that are left", len(list(&kms.ListGrantsInput{})), 0)
	}
}

// checkDates checks when grants were made and takes it off them, to compare the rest.
func checkDates(t *testing.T, all []types.GrantListEntry) []types.GrantListEntry {
	t.Helper()
	for i := range all {
		recent(t, "CreationDate", all[i].CreationDate)
		all[i].CreationDate = nil
		slices.Sort(all[i].Operations)
	}
	return all
}

// TestGrantNames shows that the same name and parameters make one grant with a new token each time, and others another.
func TestGrantNames(t *testing.T) {
	c, _ := client(t)
	k := newKey(t, c)
	q := kms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: aws.String(root(t)), Name: aws.String("one"), Operations: []types.GrantOperation{"Decrypt", "Encrypt"}}
	first := call(t, c.CreateGrant, &q)
	again := q
	again.Operations = []types.GrantOperation{"Encrypt", "Decrypt"}
	for range 3 {
		out := call(t, c.CreateGrant, &again)
		equal(t, "GrantId", *out.GrantId, *first.GrantId)
		if *out.GrantToken == *first.GrantToken {
			t.Error("the token is the same")
		}
		call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), GrantTokens: []string{*out.GrantToken, *first.GrantToken}})
	}
	for what, edit := range map[string]func(*kms.CreateGrantInput){
		"name":       func(q *kms.CreateGrantInput) { q.Name = aws.String("two") },
		"no name":    func(q *kms.CreateGrantInput) { q.Name = nil },
		"operations": func(q *kms.CreateGrantInput) { q.Operations = []types.GrantOperation{"Decrypt"} },
		"retiring":   func(q *kms.CreateGrantInput) { q.RetiringPrincipal = aws.String(root(t)) },
		"constraints": func(q *kms.CreateGrantInput) {
			q.Constraints = &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "b"}}
		},
	} {
		other := q
		edit(&other)
		if out := call(t, c.CreateGrant, &other); *out.GrantId == *first.GrantId {
			t.Errorf("another %s makes the same grant", what)
		}
	}
	equal(t, "grants", len(call(t, c.ListGrants, &kms.ListGrantsInput{KeyId: k.KeyId}).Grants), 6)
}
