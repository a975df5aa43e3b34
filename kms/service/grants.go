package service

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/seal"
)

func grantUses(all map[*kms.Operation]*use) {
	all[kms.OpCreateGrant] = changing(checkCreateGrant, createGrant, replayGrant)
	all[kms.OpListGrants] = reading(checkListGrants, listGrants)
	all[kms.OpListRetirableGrants] = reading(checkListRetirable, listRetirable)
	all[kms.OpRetireGrant] = changing(checkRetireGrant, retireGrant, replayEndedGrant)
	all[kms.OpRevokeGrant] = changing(checkRevokeGrant, revokeGrant, replayEndedGrant)
}

// checkPrincipal refuses what is no ARN of a principal.
func (r *request) checkPrincipal(field, arn string) error {
	if err := checkLength(field, len(arn), maxPrincipal); err != nil {
		return err
	}
	p := strings.SplitN(arn, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[1] != r.Partition || p[2] != "iam" && p[2] != "sts" || p[3] != "" || checkAccountID(p[4]) != nil ||
		p[5] == "" || !inPattern(arn, "+=,.@:/_-") {
		return kms.Errorf(kms.CodeInvalidARN, "%s is not the ARN of a principal.", kms.Printable(arn))
	}
	return nil
}

func checkCreateGrant(r *request, q *kms.CreateGrantRequest) error {
	if err := r.parseSubject(q.KeyID, q.GrantTokens); err != nil {
		return err
	}
	if err := r.checkPrincipal("granteePrincipal", q.GranteePrincipal); err != nil {
		return err
	}
	if q.RetiringPrincipal != "" {
		if err := r.checkPrincipal("retiringPrincipal", q.RetiringPrincipal); err != nil {
			return err
		}
	}
	if err := checkLength("operations", len(q.Operations), len(kms.GrantOperations)); err != nil {
		return err
	}
	for _, o := range q.Operations {
		if err := required("operations", o, kms.GrantOperations); err != nil {
			return err
		}
	}
	if q.Name != "" && (len(q.Name) > maxGrantName || !inPattern(q.Name, ":/_-")) {
		return constraint("name", "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$ and have length less than or equal to %d", maxGrantName)
	}
	if q.Constraints != nil {
		if err := checkConstraints(q.Constraints); err != nil {
			return err
		}
		r.noteConstraints(q.Constraints)
	}
	r.note("granteePrincipal", q.GranteePrincipal)
	r.note("retiringPrincipal", q.RetiringPrincipal)
	noteList(r, "operations", q.Operations)
	r.note("name", q.Name)
	r.noteDryRun(q.DryRun)
	return nil
}

func (r *request) noteConstraints(c *kms.GrantConstraints) {
	var all []audit.Pair
	if len(c.EncryptionContextEquals) > 0 {
		all = append(all, audit.Pair{Key: "encryptionContextEquals", Object: c.EncryptionContextEquals})
	}
	if len(c.EncryptionContextSubset) > 0 {
		all = append(all, audit.Pair{Key: "encryptionContextSubset", Object: c.EncryptionContextSubset})
	}
	r.parameters = append(r.parameters, audit.Members("constraints", all...))
}

func checkConstraints(c *kms.GrantConstraints) error {
	if len(c.EncryptionContextEquals) > 0 && len(c.EncryptionContextSubset) > 0 {
		return kms.Errorf(kms.CodeValidation, "A grant has one of EncryptionContextEquals and EncryptionContextSubset.")
	}
	for _, context := range []map[string]string{c.EncryptionContextEquals, c.EncryptionContextSubset} {
		if len(context) > maxConstraints {
			return kms.Errorf(kms.CodeValidation, "A grant constraint has at most %d pairs.", maxConstraints)
		}
		for key, value := range context {
			if !utf8.ValidString(key) || !utf8.ValidString(value) || key == "" ||
				utf8.RuneCountInString(key) > maxConstraint || utf8.RuneCountInString(value) > maxConstraint {
				return kms.Errorf(kms.CodeValidation, "Keys and values of a grant constraint have at most %d characters, keys at least one.", maxConstraint)
			}
		}
	}
	return nil
}

// contextual are the operations that have an encryption context.
var contextual = []kms.GrantOperation{"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
	"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"}

// grantable reports whether a grant on a key can allow the operation, see
// https://docs.aws.amazon.com/kms/latest/developerguide/grants.html
func grantable(k *catalog.Key, o kms.GrantOperation) bool {
	spec, known := k.Spec.Spec()
	switch o {
	case "CreateGrant", "RetireGrant", "DescribeKey":
		return true
	case "GetPublicKey":
		return known && spec.Asymmetric
	case "ReEncryptFrom", "ReEncryptTo", "Encrypt", "Decrypt":
		return k.Usage == kms.EncryptDecrypt
	case "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext":
		return k.Spec == kms.SymmetricDefault
	}
	op, known := kms.OperationByName(string(o))
	return known && op.Usage == k.Usage
}

func createGrant(r *request, q *kms.CreateGrantRequest) (*change, error) {
	k, c, err := r.begin("grant.created")
	if err != nil {
		return nil, err
	}
	for _, o := range q.Operations {
		if !grantable(k, o) {
			return nil, kms.Errorf(kms.CodeValidation, "A grant on %s, whose key usage is %s and key spec %s, cannot allow %s.", k.ARN, k.Usage, k.Spec, o)
		}
	}
	g := r.newGrant(k, q)
	if g.Constraints != nil && (k.Spec != kms.SymmetricDefault || !slices.ContainsFunc(g.Operations, func(o kms.GrantOperation) bool { return slices.Contains(contextual, o) })) {
		return nil, kms.Errorf(kms.CodeValidation, "Constraints on the encryption context are for cryptographic operations of symmetric encryption keys.")
	}
	ids := r.view.IDs()
	ref, scope := ids.Grant(k.Scope, k.ID, r.uniqueGrant(g)), ids.GrantsOf(k.Scope, k.ID)
	if body, err := r.liveGrant(ref); err != nil {
		return nil, err
	} else if body != nil {
		g = body // the same name and parameters: the same grant
		c.guard(r.view.Guard(ref))
	} else {
		if r.view.Members(scope) >= maxGrantsOfKey {
			return nil, kms.Errorf(kms.CodeLimitExceeded, "The key %s has %d grants, which is the limit.", k.ARN, maxGrantsOfKey)
		}
		c.below = append(c.below, fsm.ScopeGuard{Scope: scope, Below: maxGrantsOfKey})
		c.guard(catalog.Absent(ref))
	}
	if q.DryRun {
		return nil, errDryRun()
	}
	if c.answer, err = r.grantAnswer(g); err != nil {
		return nil, err
	}
	return c, c.put(r, ref, g, scope)
}

// newGrant makes the grant that a request asks for.
func (r *request) newGrant(k *catalog.Key, q *kms.CreateGrantRequest) *kms.Grant {
	var id [32]byte
	rand.Read(id[:])
	g := &kms.Grant{
		Schema: 1, Scope: k.Scope, KeyID: k.ID, ID: hex.EncodeToString(id[:]), Name: q.Name,
		GranteePrincipal: q.GranteePrincipal, RetiringPrincipal: q.RetiringPrincipal,
		Operations: slices.Compact(slices.Sorted(slices.Values(q.Operations))),
		Issuer:     r.principal.ARN, IssuingAccount: "arn:" + r.Partition + ":iam::" + r.principal.Account + ":root", Created: r.now(),
	}
	if c := q.Constraints; c != nil && len(c.EncryptionContextEquals)+len(c.EncryptionContextSubset) > 0 {
		g.Constraints = c
	}
	return g
}

// uniqueGrant returns what makes a grant one record: its name and parameters, or for one without a name its id.
func (r *request) uniqueGrant(g *kms.Grant) string {
	if g.Name == "" {
		return g.ID
	}
	parts := []string{g.Name, g.GranteePrincipal, g.RetiringPrincipal, g.IssuingAccount, "operations"}
	for _, o := range g.Operations {
		parts = append(parts, string(o))
	}
	if g.Constraints != nil {
		for label, context := range map[string]map[string]string{"equals": g.Constraints.EncryptionContextEquals, "subset": g.Constraints.EncryptionContextSubset} {
			if len(context) == 0 {
				continue // one of the two is empty, so the order of the map is nothing
			}
			parts = append(parts, label)
			for _, key := range slices.Sorted(maps.Keys(context)) {
				parts = append(parts, key, context[key])
			}
		}
	}
	sum := r.view.IDs().Hash("grant", parts...)
	return hex.EncodeToString(sum[:])
}

// liveGrant returns the grant of a record, nil when there is none.
func (r *request) liveGrant(ref fsm.Ref) (*kms.Grant, error) {
	if !r.view.Has(ref) {
		return nil, nil
	}
	body, err := r.view.Open(ref)
	if err != nil {
		return nil, err
	}
	g, ok := body.(*kms.Grant)
	if !ok {
		return nil, kms.Errorf(kms.CodeInternal, "A record is not what it should be.")
	}
	return g, nil
}

const grantPurpose = "grant"

// grantAnswer names a grant with a new token. Grants hold as soon as they are acknowledged, so a token
// proves nothing that the grant does not: it names the grant to those who retire it.
func (r *request) grantAnswer(g *kms.Grant) (*kms.CreateGrantAnswer, error) {
	plain := []byte{grantTokenFormat}
	for _, s := range []string{g.Scope.Account, g.Scope.Region, g.KeyID, g.ID} {
		plain = binary.BigEndian.AppendUint16(plain, uint16(len(s)))
		plain = append(plain, s...)
	}
	token, err := r.view.SealToken(grantPurpose, nil, plain)
	if err != nil {
		return nil, err
	}
	return &kms.CreateGrantAnswer{GrantID: g.ID, GrantToken: hex.EncodeToString(token)}, nil
}

// A grant token is, in hexadecimal and sealed: format 1 | account | region | key id | grant id, each with
// its length in 2 bytes before it.
const grantTokenFormat = 1

// openGrantToken returns what a grant token names.
func (r *request) openGrantToken(token string) (s kms.Scope, keyID, grantID string, err error) {
	invalid := kms.Errorf(kms.CodeInvalidGrantToken, "A grant token is not one that this cluster gave.")
	raw, err := hex.DecodeString(token)
	if err != nil {
		return s, "", "", invalid
	}
	plain, err := r.view.OpenToken(grantPurpose, nil, raw)
	if err != nil {
		if errors.Is(err, seal.ErrOpen) {
			err = invalid
		}
		return s, "", "", err
	}
	var parts [4]string
	if len(plain) == 0 || plain[0] != grantTokenFormat {
		return s, "", "", invalid
	}
	rest := plain[1:]
	for i := range parts {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return s, "", "", invalid
		}
		n := 2 + int(binary.BigEndian.Uint16(rest))
		parts[i], rest = string(rest[2:n]), rest[n:]
	}
	return kms.Scope{Account: parts[0], Region: parts[1]}, parts[2], parts[3], nil
}

// openTokens refuses grant tokens that are none.
func (r *request) openTokens(tokens []string) error {
	for _, t := range tokens {
		if _, _, _, err := r.openGrantToken(t); err != nil {
			return err
		}
	}
	return nil
}

func replayGrant(r *request, rs *records) (any, error) {
	g, err := r.replayedGrant(rs)
	if err != nil {
		return nil, err
	}
	return r.grantAnswer(g)
}

// replayedGrant returns the grant that an earlier request made or ended.
func (r *request) replayedGrant(rs *records) (*kms.Grant, error) {
	g, err := record[kms.Grant](rs, fsm.KindGrant)
	if err != nil {
		return nil, err
	}
	ref := kms.KeyRef{ID: g.KeyID, Scope: g.Scope}
	if r.op == kms.OpRetireGrant {
		k, err := r.findKey(ref, r.op.Action)
		if err == nil {
			err = r.mayRetire(k, &catalog.Grant{Grant: *g})
		}
		return g, r.asNamed(err)
	}
	_, err = r.useKey(ref, r.op.Action, nil)
	return g, err
}

func replayEndedGrant(r *request, rs *records) (any, error) {
	if _, err := r.replayedGrant(rs); err != nil {
		return nil, err
	}
	return &kms.Empty{}, nil
}

func checkListGrants(r *request, q *kms.ListGrantsRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if q.GrantID != "" && q.GranteePrincipal != "" {
		return kms.Errorf(kms.CodeValidation, "Grants are listed by grant id or by grantee principal, not by both.")
	}
	if q.GrantID != "" {
		if err := checkGrantID(q.GrantID); err != nil {
			return err
		}
	}
	r.note("grantId", q.GrantID)
	r.note("granteePrincipal", kms.Printable(q.GranteePrincipal))
	r.notePage(q.Limit, q.Marker)
	return checkLimit(q.Limit, 100)
}

const defaultGrants = 50 // of a page

func listGrants(r *request, q *kms.ListGrantsRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultGrants
	}
	var all []*catalog.Grant
	switch {
	case q.GrantID != "":
		g, err := r.grant(k, q.GrantID)
		if err != nil {
			return nil, err
		}
		all = []*catalog.Grant{g}
	case q.GranteePrincipal != "":
		all = r.view.GrantsTo(k.Scope, k.Raw, q.GranteePrincipal, after, limit+1)
	default:
		all = r.view.Grants(k.Scope, k.Raw, after, limit+1)
	}
	shown, more := page(all, limit)
	answer := r.grantList(shown)
	if more {
		answer.NextMarker = r.marker(shown[len(shown)-1].ID)
	}
	return answer, nil
}

// grant returns a grant of a key.
func (r *request) grant(k *catalog.Key, id string) (*catalog.Grant, error) {
	g, err := r.view.Grant(k.Scope, k.Raw, id)
	if errors.Is(err, catalog.ErrNotFound) {
		err = kms.Errorf(kms.CodeNotFound, "The key %s has no grant %s.", k.ARN, kms.Printable(id))
	}
	return g, err
}

func (r *request) grantList(grants []*catalog.Grant) *kms.ListGrantsAnswer {
	answer := &kms.ListGrantsAnswer{Grants: make([]kms.GrantEntry, len(grants))}
	for i, g := range grants {
		answer.Grants[i] = kms.GrantEntry{GrantID: g.ID, KeyID: kms.ARN(r.Partition, g.Scope, "key/"+g.KeyID), Name: g.Name,
			GranteePrincipal: g.GranteePrincipal, RetiringPrincipal: g.RetiringPrincipal, Operations: g.Operations,
			Constraints: g.Constraints, IssuingAccount: g.IssuingAccount, CreationDate: kms.Time(g.Created)}
	}
	return answer
}

func checkListRetirable(r *request, q *kms.ListRetirableGrantsRequest) error {
	if err := r.checkPrincipal("retiringPrincipal", q.RetiringPrincipal); err != nil {
		return err
	}
	r.note("retiringPrincipal", q.RetiringPrincipal)
	r.notePage(q.Limit, q.Marker)
	return checkLimit(q.Limit, 100)
}

func listRetirable(r *request, q *kms.ListRetirableGrantsRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	var key [16]byte
	grant := ""
	if n := copy(key[:], after); n == len(key) {
		grant = after[n:]
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultGrants
	}
	shown, more := page(r.view.RetirableGrants(r.scope, q.RetiringPrincipal, key, grant, limit+1), limit)
	answer := r.grantList(shown)
	if more {
		last := shown[len(shown)-1]
		answer.NextMarker = r.marker(string(last.KeyRaw[:]) + last.ID)
	}
	return answer, nil
}

func checkRevokeGrant(r *request, q *kms.RevokeGrantRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if err := checkGrantID(q.GrantID); err != nil {
		return err
	}
	r.note("grantId", q.GrantID)
	r.noteDryRun(q.DryRun)
	return nil
}

// checkGrantID refuses what no grant has as its id.
func checkGrantID(id string) error {
	if checkMaterialID(id) != nil || id == "" { // 64 hexadecimal digits both
		return kms.Errorf(kms.CodeInvalidGrantID, "A grant id has 64 lower-case hexadecimal digits.")
	}
	return nil
}

func revokeGrant(r *request, q *kms.RevokeGrantRequest) (*change, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	g, err := r.grant(k, q.GrantID)
	if err != nil {
		return nil, err
	}
	return r.endGrant("grant.revoked", k, g, q.DryRun)
}

// endGrant deletes a grant of the request's key.
func (r *request) endGrant(event string, k *catalog.Key, g *catalog.Grant, dryRun bool) (*change, error) {
	if dryRun {
		return nil, errDryRun()
	}
	c := &change{event: event, guards: append(r.guardKey(k, r.key), g.Guard()), answer: &kms.Empty{}}
	return c, c.delete(r, fsm.Ref{Kind: fsm.KindGrant, ID: g.Record}, &g.Grant)
}

func checkRetireGrant(r *request, q *kms.RetireGrantRequest) error {
	r.note("keyId", kms.Printable(q.KeyID))
	r.note("grantId", kms.Printable(q.GrantID))
	r.noteDryRun(q.DryRun)
	if q.GrantToken != "" {
		if q.KeyID != "" || q.GrantID != "" {
			return kms.Errorf(kms.CodeValidation, "A grant is named by its token, or by key and grant id, not by both.")
		}
		return checkLength("grantToken", len(q.GrantToken), maxGrantToken)
	}
	if q.KeyID == "" || q.GrantID == "" {
		return kms.Errorf(kms.CodeValidation, "A grant is named by its token, or by key and grant id.")
	}
	var err error
	if r.key, err = r.parseKey(q.KeyID); err != nil {
		return err
	}
	return checkGrantID(q.GrantID)
}

func retireGrant(r *request, q *kms.RetireGrantRequest) (*change, error) {
	c, err := r.retire(q)
	return c, r.asNamed(err)
}

// asNamed makes a refusal to retire a grant tell nothing of the key that its caller did not: neither what a token hides
// nor what an alias is for.
func (r *request) asNamed(err error) error {
	if kms.CodeOf(err) != kms.CodeAccessDenied {
		return err
	}
	q, ok := r.call.Request.(*kms.RetireGrantRequest)
	switch {
	case ok && q.GrantToken != "":
		return r.denied(r.op.Action, "*")
	case ok && r.key.Alias != "":
		s := r.scope
		s.Account = cmp.Or(r.key.Scope.Account, s.Account)
		return r.denied(r.op.Action, kms.ARN(r.Partition, s, r.key.Alias))
	}
	return err
}

func (r *request) retire(q *kms.RetireGrantRequest) (*change, error) {
	id := q.GrantID
	if q.GrantToken != "" {
		s, keyID, grantID, err := r.openGrantToken(q.GrantToken)
		if err != nil {
			return nil, err
		}
		if s.Region != r.scope.Region {
			return nil, r.denied(r.op.Action, "*")
		}
		r.key, id = kms.KeyRef{ID: keyID, Scope: s}, grantID
	}
	k, err := r.findKey(r.key, r.op.Action)
	if err != nil {
		return nil, err
	}
	g, err := r.view.Grant(k.Scope, k.Raw, id)
	switch {
	case errors.Is(err, catalog.ErrNotFound) && k.Scope.Account != r.scope.Account:
		return nil, r.deniedKey(r.op.Action, r.key)
	case errors.Is(err, catalog.ErrNotFound):
		if err := r.mayHave(r.op.Action, r.key); err != nil {
			return nil, err
		}
		return nil, kms.Errorf(kms.CodeNotFound, "The key %s has no grant %s.", k.ARN, kms.Printable(id))
	case err != nil:
		return nil, err
	}
	if err := r.mayRetire(k, g); err != nil {
		return nil, err
	}
	return r.endGrant("grant.retired", k, g, q.DryRun)
}
