package service

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// facts are the condition keys of one decision, beside those of the principal. Nothing is looked up before a policy
// asks. https://docs.aws.amazon.com/kms/latest/developerguide/policy-conditions.html
type facts struct {
	request           *request
	action            string              // of the policy language
	owner             string              // account of the resource
	region            string              // that the action is in
	key               *catalog.Key        // nil: the action is on no key
	alias             string              // that the request named the key by
	encryptionContext map[string]string   // of this part of the request
	tags              map[string]string   // of a resource that is no key
	boundary          string              // iam:PermissionsBoundary
	policyARN         string              // iam:PolicyARN
	simulated         bool                // the request is not the one that is decided on
	given             map[string][]string // of a simulation: goes before everything but what the principal has
	web               *webFacts           // claims of a web identity
	err               error               // what kept a condition key from being read: there is no decision then
}

// Lookup implements policy.Context.
func (f *facts) Lookup(name, sub string) (policy.Values, bool) {
	if v, ok := f.ofSimulation(name, sub); ok {
		return v, true
	}
	r := f.request
	switch name {
	case "aws:sourceip", "aws:securetransport", "aws:useragent":
		return f.ofCall(name)
	case "aws:currenttime":
		return policy.One(r.started.UTC().Format(time.RFC3339)), true
	case "aws:epochtime":
		return policy.One(strconv.FormatInt(r.started.Unix(), 10)), true
	case "aws:requestedregion":
		return one(f.region)
	case "aws:resourceaccount":
		return one(f.owner)
	case "aws:requesttag":
		return auth.Tag(requestTags(r.call.Request), sub)
	case "aws:tagkeys":
		return many(tagKeys(r.call.Request))
	case "aws:resourcetag":
		if f.key != nil {
			return auth.Tag(f.key.Tags, sub)
		}
		return auth.Tag(f.tags, sub)
	case "iam:permissionsboundary":
		return one(f.boundary)
	case "iam:policyarn":
		return one(f.policyARN)
	}
	if word, ok := strings.CutPrefix(name, "xks:"); ok && sub == "" && !f.simulated {
		return one(r.call.XKS.word(word))
	}
	if f.web != nil && sub == "" {
		if v, ok := f.web.lookup(name); ok {
			return v, true
		}
	}
	if f.key != nil {
		if v, ok, known := f.ofKey(name, sub); known {
			return v, ok
		}
	}
	return f.ofRequest(name)
}

// ofCall returns condition keys that say how the request came. How a simulated one would come nobody knows.
func (f *facts) ofCall(name string) (policy.Values, bool) {
	switch c := f.request.call; {
	case f.simulated:
		return policy.Values{}, false
	case name == "aws:sourceip":
		return one(c.Source)
	case name == "aws:useragent":
		return one(c.UserAgent)
	default:
		return policy.One(strconv.FormatBool(c.TLS)), true
	}
}

// ofSimulation returns what a simulation says of a condition key; names are equal without regard to case.
func (f *facts) ofSimulation(name, sub string) (policy.Values, bool) {
	full := name
	switch {
	case sub != "" && strings.HasSuffix(name, "encryptioncontext"):
		full += ":" + sub
	case sub != "":
		full += "/" + sub
	}
	for key, values := range f.given {
		if strings.EqualFold(key, full) {
			if len(values) == 1 {
				return policy.One(values[0]), true
			}
			return policy.Many(values), true
		}
	}
	return policy.Values{}, false
}

// ofKey returns condition keys that the key has.
func (f *facts) ofKey(name, sub string) (v policy.Values, ok, known bool) {
	k := f.key
	known = true
	switch name {
	case "kms:keyspec", "kms:customermasterkeyspec":
		v, ok = one(string(k.Spec))
	case "kms:keyusage", "kms:customermasterkeyusage":
		v, ok = one(string(k.Usage))
	case "kms:keyorigin":
		v, ok = one(string(k.Origin))
	case "kms:multiregion":
		v, ok = policy.One(strconv.FormatBool(k.MultiRegion != nil)), true
	case "kms:multiregionkeytype":
		switch {
		case k.Primary():
			v, ok = policy.One("PRIMARY"), true
		case k.Replica():
			v, ok = policy.One("REPLICA"), true
		}
	case "kms:requestalias":
		v, ok = one(f.alias)
	case "kms:resourcealiases":
		v, ok = many(f.aliases())
	case "kms:encryptioncontext":
		var value string
		if value, ok = lookup(f.encryptionContext, sub); ok {
			v = policy.One(value)
		}
	case "kms:encryptioncontextkeys":
		v, ok = many(slices.Sorted(maps.Keys(f.encryptionContext)))
	case "kms:trailingdayswithoutkeyusage":
		v, ok = f.trailingDays()
	case "kms:reencryptonsamekey":
		if f.request.op == kms.OpReEncrypt {
			v, ok = policy.One(strconv.FormatBool(f.request.onSameKey())), true
		}
	default:
		known = false
	}
	return v, ok, known
}

// lookup finds an encryption context pair. Names of condition keys are equal without regard to case, and the key of the
// pair is part of one; the pair that is spelled as asked comes first.
func lookup(context map[string]string, key string) (string, bool) {
	if v, ok := context[key]; ok {
		return v, true
	}
	for _, k := range slices.Sorted(maps.Keys(context)) {
		if strings.EqualFold(k, key) {
			return context[k], true
		}
	}
	return "", false
}

// aliases returns the names of the key's aliases. A change guards that they are these; without one that does not open
// there is no decision.
func (f *facts) aliases() []string {
	r := f.request
	scope := r.view.IDs().AliasesOf(f.key.Scope, f.key.ID)
	all := r.view.AliasesOf(f.key.Scope, f.key.Raw, "", maxAliasesOfKey)
	if uint64(len(all)) != r.view.Members(scope) {
		f.err = kms.Errorf(kms.CodeUnavailable, "An alias of the key cannot be read on this node.")
	}
	if r.guarding {
		r.scanned = append(r.scanned, r.view.Unchanged(scope))
	}
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = a.Name
	}
	return names
}

// trailingDays returns for how many whole days the key was not used, as far as every member knows. Of a member that does
// not answer nothing is known: then it is 0, so that no policy that asks for days lets the key go. Only what stops a
// key's use has it: nothing else waits for the members.
func (f *facts) trailingDays() (policy.Values, bool) {
	r := f.request
	if f.action != kms.OpDisableKey.Action && f.action != kms.OpScheduleKeyDeletion.Action {
		return policy.Values{}, false
	}
	u, silent, err := r.clusterUsage(f.key)
	if err != nil {
		f.err = err
		return policy.Values{}, false
	}
	last := f.key.Created
	for _, use := range u.Operations {
		last = max(last, use.At)
	}
	days := max(0, r.now()-last) / day
	if _, _, err := r.view.Usage(f.key); err != nil || silent > 0 { // what is not known may be a use
		days = 0
	}
	return policy.One(strconv.FormatInt(days, 10)), true
}

// onSameKey reports whether a ReEncrypt is from a key to itself.
func (r *request) onSameKey() bool {
	find := func(ref kms.KeyRef) *catalog.Key {
		s := r.scope
		if ref.Scope.Account != "" {
			s.Account = ref.Scope.Account
		}
		k, _, err := r.lookUp(s, ref)
		if err != nil {
			return nil
		}
		return k
	}
	to := find(r.key)
	if to == nil {
		return false
	}
	if r.other != (kms.KeyRef{}) {
		from := find(r.other)
		return from != nil && from.ARN == to.ARN
	}
	return to.Raw == r.header.KeyID
}

// ofRequest returns condition keys that say what the request asks for.
func (f *facts) ofRequest(name string) (policy.Values, bool) {
	none := policy.Values{}
	switch q := f.request.call.Request.(type) {
	case *kms.CreateKeyRequest:
		return ofCreateKey(q, name)
	case *kms.EncryptRequest, *kms.DecryptRequest, *kms.ReEncryptRequest:
		if name == "kms:encryptionalgorithm" {
			if f.action == "kms:ReEncryptFrom" {
				return one(string(f.request.decryption))
			}
			return one(string(f.request.encryption))
		}
	case *kms.GenerateDataKeyRequest, *XKSEncryptRequest, *XKSDecryptRequest:
		if name == "kms:encryptionalgorithm" {
			return one(string(kms.AlgorithmSymmetricDefault))
		}
	case *kms.GenerateDataKeyPairRequest:
		switch name {
		case "kms:datakeypairspec":
			return one(string(q.KeyPairSpec))
		case "kms:encryptionalgorithm":
			return one(string(kms.AlgorithmSymmetricDefault))
		}
	case *kms.SignRequest:
		return ofSigning(name, q.SigningAlgorithm, f.request.message)
	case *kms.VerifyRequest:
		return ofSigning(name, q.SigningAlgorithm, f.request.message)
	case *kms.GenerateMacRequest:
		if name == "kms:macalgorithm" {
			return one(string(q.MacAlgorithm))
		}
	case *kms.VerifyMacRequest:
		if name == "kms:macalgorithm" {
			return one(string(q.MacAlgorithm))
		}
	case *kms.DeriveSharedSecretRequest:
		if name == "kms:keyagreementalgorithm" {
			return one(string(q.KeyAgreementAlgorithm))
		}
	case *kms.CreateGrantRequest:
		return ofGrant(q, name)
	case *kms.ListGrantsRequest, *kms.RevokeGrantRequest:
		if name == "kms:grantisforawsresource" {
			return policy.One("false"), true
		}
	case *kms.ScheduleKeyDeletionRequest:
		if name == "kms:schedulekeydeletionpendingwindowindays" {
			window := maxWindow
			if q.PendingWindowInDays != nil {
				window = *q.PendingWindowInDays
			}
			return policy.One(strconv.Itoa(window)), true
		}
	case *kms.EnableKeyRotationRequest:
		if name == "kms:rotationperiodindays" {
			period := defaultRotation
			if q.RotationPeriodInDays != nil {
				period = *q.RotationPeriodInDays
			}
			return policy.One(strconv.Itoa(period)), true
		}
	case *kms.PutKeyPolicyRequest:
		return bypass(name, q.BypassPolicyLockoutSafetyCheck)
	case *kms.ReplicateKeyRequest:
		if name == "kms:replicaregion" {
			return one(q.ReplicaRegion)
		}
		return bypass(name, q.BypassPolicyLockoutSafetyCheck)
	case *kms.UpdatePrimaryRegionRequest:
		if name == "kms:primaryregion" {
			return one(q.PrimaryRegion)
		}
	case *kms.GetParametersForImportRequest:
		switch name {
		case "kms:wrappingalgorithm":
			return one(string(q.WrappingAlgorithm))
		case "kms:wrappingkeyspec":
			return one(string(q.WrappingKeySpec))
		}
	case *kms.ImportKeyMaterialRequest:
		switch {
		case name == "kms:expirationmodel":
			return one(string(q.ExpirationModel))
		case name == "kms:validto" && q.ValidTo != nil:
			return policy.One(q.ValidTo.UTC().Format(time.RFC3339)), true
		}
	case *kms.AssumeRoleRequest:
		return ofAssumption(name, q.RoleSessionName, q.ExternalID)
	case *kms.AssumeRoleWithWebIdentityRequest:
		return ofAssumption(name, q.RoleSessionName, "")
	}
	return none, false
}

func ofCreateKey(q *kms.CreateKeyRequest, name string) (policy.Values, bool) {
	spec, usage, origin, _ := kindOf(q)
	switch name {
	case "kms:keyspec", "kms:customermasterkeyspec":
		return one(string(spec))
	case "kms:keyusage", "kms:customermasterkeyusage":
		return one(string(usage))
	case "kms:keyorigin":
		return one(string(origin))
	case "kms:multiregion":
		return policy.One(strconv.FormatBool(q.MultiRegion)), true
	case "kms:multiregionkeytype":
		if q.MultiRegion {
			return policy.One("PRIMARY"), true
		}
	}
	return bypass(name, q.BypassPolicyLockoutSafetyCheck)
}

func bypass(name string, is bool) (policy.Values, bool) {
	if name == "kms:bypasspolicylockoutsafetycheck" {
		return policy.One(strconv.FormatBool(is)), true
	}
	return policy.Values{}, false
}

func ofSigning(name string, a kms.SigningAlgorithm, m kms.MessageType) (policy.Values, bool) {
	switch name {
	case "kms:signingalgorithm":
		return one(string(a))
	case "kms:messagetype":
		return one(string(m))
	}
	return policy.Values{}, false
}

func ofGrant(q *kms.CreateGrantRequest, name string) (policy.Values, bool) {
	switch name {
	case "kms:grantoperations":
		names := make([]string, len(q.Operations))
		for i, o := range q.Operations {
			names[i] = string(o)
		}
		return many(names)
	case "kms:granteeprincipal":
		return one(q.GranteePrincipal)
	case "kms:retiringprincipal":
		return one(q.RetiringPrincipal)
	case "kms:grantisforawsresource":
		return policy.One("false"), true
	case "kms:grantconstrainttype":
		switch c := q.Constraints; {
		case c == nil:
		case len(c.EncryptionContextEquals) > 0:
			return policy.One("EncryptionContextEquals"), true
		case len(c.EncryptionContextSubset) > 0:
			return policy.One("EncryptionContextSubset"), true
		}
	}
	return policy.Values{}, false
}

func ofAssumption(name, session, externalID string) (policy.Values, bool) {
	switch name {
	case "sts:rolesessionname":
		return one(session)
	case "sts:externalid":
		return one(externalID)
	}
	return policy.Values{}, false
}

// requestTags returns the tags that a request sets.
func requestTags(request any) map[string]string {
	switch q := request.(type) {
	case *kms.CreateKeyRequest:
		return q.Tags
	case *kms.ReplicateKeyRequest:
		return q.Tags
	case *kms.TagResourceRequest:
		return q.Tags
	case *kms.CreateUserRequest:
		return q.Tags
	case *kms.CreateRoleRequest:
		return q.Tags
	case *kms.CreatePolicyRequest:
		return q.Tags
	case *kms.TagIdentityRequest:
		return q.Tags
	case *kms.TagPolicyRequest:
		return q.Tags
	case *kms.CreateOIDCProviderRequest:
		return q.Tags
	case *kms.TagProviderRequest:
		return q.Tags
	case *kms.AssumeRoleRequest:
		return q.Tags
	}
	return nil
}

// tagKeys returns the keys of tags that a request sets or takes off.
func tagKeys(request any) []string {
	switch q := request.(type) {
	case *kms.UntagResourceRequest:
		return q.TagKeys
	case *kms.UntagIdentityRequest:
		return q.TagKeys
	case *kms.UntagPolicyRequest:
		return q.TagKeys
	case *kms.UntagProviderRequest:
		return q.TagKeys
	}
	return slices.Sorted(maps.Keys(requestTags(request)))
}

// one returns a value that is absent when it is empty.
func one(v string) (policy.Values, bool) { return policy.One(v), v != "" }

// many returns a set that is absent when it is empty.
func many(v []string) (policy.Values, bool) { return policy.Many(v), len(v) > 0 }
