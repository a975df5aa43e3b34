package service_test

import (
	"crypto/tls"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// lastRecord returns the record that was written last.
func (w *world) lastRecord(t *testing.T) (r struct {
	UserIdentity     map[string]any
	ResponseElements map[string]any
	TLSDetails       map[string]any
	Event            string         `json:"eventName"`
	Additional       map[string]any `json:"additionalEventData"`
}) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(w.Lines())), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Whoever calls stands in the record as CloudTrail's userIdentity has it.
func TestRecordedIdentities(t *testing.T) {
	c := newClock()
	w := newWorld(t, servicetest.Options{Now: c.now})
	role := w.roleFor(t, "r", trusting("arn:aws:iam::"+aliceID+":root"), allowAll)
	carl := w.carl(t)
	attributes := map[string]any{"mfaAuthenticated": "false"}
	issuer := map[string]any{"type": "Role", "arn": role, "accountId": aliceID, "userName": "r"}
	root := map[string]any{"type": "Root", "arn": iamARN(aliceID, "root"), "accountId": aliceID, "accessKeyId": w.alice.AccessKeyID}
	user := map[string]any{"type": "IAMUser", "arn": iamARN(aliceID, "user/carl"), "accountId": aliceID, "userName": "carl"}
	session := map[string]any{"type": "AssumedRole", "arn": "arn:aws:sts::" + aliceID + ":assumed-role/r/build", "accountId": aliceID,
		"sessionContext": map[string]any{"sessionIssuer": issuer, "attributes": attributes}}
	own := maps.Clone(user)
	own["sessionContext"] = map[string]any{"attributes": attributes}
	ca := newIssuingCA(t, c.now())
	w.must(t, w.alice, kms.OpCreateTrustAnchor, &kms.CreateTrustAnchorRequest{Name: "a", Certificate: ca.pem(), Mappings: []kms.CertificateMapping{{Role: "machine", CommonName: "*"}}})
	machine := w.roleFor(t, "machine", anchorTrust("a", ""), allowAll)
	certified := map[string]any{"type": "AssumedRole", "arn": "arn:aws:sts::" + aliceID + ":assumed-role/machine/abc123", "accountId": aliceID,
		"sessionContext": map[string]any{"sessionIssuer": map[string]any{"type": "Role", "arn": machine, "accountId": aliceID, "userName": "machine"}, "attributes": attributes}}

	by := func(who servicetest.Credentials, change func(*service.Call)) func() error {
		return func() error {
			call := servicetest.Call(who, kms.OpGetCallerIdentity, &kms.Empty{})
			if change != nil {
				change(call)
			}
			_, err := w.Service.Do(t.Context(), call)
			return err
		}
	}
	assumed := w.assume(t, w.alice, &kms.AssumeRoleRequest{RoleARN: role, RoleSessionName: "build"})
	for name, row := range map[string]struct {
		call func() error
		want map[string]any
	}{
		"root":        {by(w.alice, nil), root},
		"user":        {by(carl, nil), user},
		"session":     {by(servicetest.Credentials{}, bearer(assumed.SessionToken)), session},
		"own session": {by(servicetest.Credentials{}, bearer(w.own(t, carl, nil).SessionToken)), own},
		"certificate": {by(servicetest.Credentials{}, byCertificate(aliceID, ca.client(t, "c", nil))), certified},
		"nobody":      {func() error { by(servicetest.Credentials{}, nil)(); return nil }, map[string]any{"type": "Unknown"}},
	} {
		want(t, name, row.call(), "")
		got := w.lastRecord(t).UserIdentity
		if context, ok := got["sessionContext"].(map[string]any); ok {
			given := context["attributes"].(map[string]any)
			if at, err := time.Parse(time.RFC3339, given["creationDate"].(string)); err != nil || c.now().Sub(at).Abs() > time.Minute {
				t.Errorf("%s: the session was made at %v", name, given)
			}
			delete(given, "creationDate")
			if issuer, ok := context["sessionIssuer"].(map[string]any); ok {
				if id, _ := issuer["principalId"].(string); !strings.HasPrefix(id, "AROA") || !strings.HasPrefix(got["principalId"].(string), id+":") {
					t.Errorf("%s: %v", name, got)
				}
				delete(issuer, "principalId")
			}
		}
		if id, _ := got["principalId"].(string); id == "" && name != "nobody" {
			t.Errorf("%s has no principal id", name)
		}
		delete(got, "principalId")
		if name != "root" {
			delete(got, "accessKeyId")
		}
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s is\n%v, want\n%v", name, got, row.want)
		}
	}
}

// A web identity is known at its issuer only; its session says whose word it has.
func TestRecordedWebIdentity(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	s := w.topic(t, w.alice, kms.OpAssumeRoleWithWebIdentity, "alias/web")
	request := rights[kms.OpAssumeRoleWithWebIdentity].request(s)
	answer := w.must(t, servicetest.Credentials{}, kms.OpAssumeRoleWithWebIdentity, request).(*kms.SessionAnswer)
	record := w.lastRecord(t)
	_, issuer, _ := strings.Cut(answer.Provider, "/")
	const subject = "system:serviceaccount:shop:orders"
	if want := map[string]any{"type": "WebIdentityUser", "principalId": issuer + ":lockstep:" + subject, "userName": subject, "identityProvider": issuer}; !reflect.DeepEqual(record.UserIdentity, want) {
		t.Errorf("it is %v, want %v", record.UserIdentity, want)
	}
	if got := record.ResponseElements; got["subjectFromWebIdentityToken"] != subject || got["provider"] != answer.Provider || got["audience"] != "lockstep" ||
		!reflect.DeepEqual(got["credentials"], map[string]any{"accessKeyId": answer.AccessKeyID, "expiration": answer.Expiration.UTC().Format(time.RFC3339)}) {
		t.Errorf("responseElements: %v", got)
	}
	_, err := proven(w.Node, bearer(answer.SessionToken), kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "the session", err, "")
	context := w.lastRecord(t).UserIdentity["sessionContext"].(map[string]any)
	if want := map[string]any{"federatedProvider": answer.Provider, "attributes": map[string]any{issuer + ":sub": subject}}; !reflect.DeepEqual(context["webIdFederationData"], want) {
		t.Errorf("%v, want %v", context, want)
	}
}

// The record tells what the connection was protected with, and which door took the call.
func TestRecordedConnection(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	call := servicetest.Call(w.alice, kms.OpListKeys, &kms.ListRequest{})
	call.Auth.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
	call.Auth.Host = "kms.example:8443"
	_, err := w.Service.Do(t.Context(), call)
	want(t, "list", err, "")
	r := w.lastRecord(t)
	if want := map[string]any{"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": "kms.example:8443"}; !reflect.DeepEqual(r.TLSDetails, want) || r.Additional["door"] != "test" {
		t.Errorf("%+v", r)
	}
}

// responses are the responseElements of the operations that have any: the names of the members, of objects behind a dot.
var responses = map[string]string{
	"AssumeRole":                  "assumedRoleUser.arn assumedRoleUser.assumedRoleId credentials.accessKeyId credentials.expiration",
	"AssumeRoleWithWebIdentity":   "assumedRoleUser.arn assumedRoleUser.assumedRoleId audience credentials.accessKeyId credentials.expiration provider subjectFromWebIdentityToken",
	"CancelKeyDeletion":           "keyId",
	"CreateAccessKey":             "accessKey.accessKeyId accessKey.createDate accessKey.status accessKey.userName",
	"CreateAccount":               "accessKeyId accountId",
	"CreateAlias":                 "keyId",
	"CreateGrant":                 "grantId keyId",
	"CreateGroup":                 "group.arn group.createDate group.groupId group.groupName group.path",
	"CreateKey":                   "keyMetadata.AWSAccountId keyMetadata.arn keyMetadata.creationDate keyMetadata.customerMasterKeySpec keyMetadata.description keyMetadata.enabled keyMetadata.encryptionAlgorithms keyMetadata.keyId keyMetadata.keyManager keyMetadata.keySpec keyMetadata.keyState keyMetadata.keyUsage keyMetadata.multiRegion keyMetadata.origin",
	"CreateOpenIDConnectProvider": "openIDConnectProviderArn",
	"CreatePolicy":                "policy.arn policy.createDate policy.defaultVersionId policy.path policy.policyId policy.policyName policy.updateDate",
	"CreatePolicyVersion":         "policyVersion.createDate policyVersion.isDefaultVersion policyVersion.versionId",
	"CreateRole":                  "role.arn role.createDate role.path role.roleId role.roleName",
	"CreateTrustAnchor":           "trustAnchor.createdAt trustAnchor.name trustAnchor.trustAnchorArn",
	"CreateUser":                  "user.arn user.createDate user.path user.userId user.userName",
	"DeleteAlias":                 "keyId",
	"DeleteImportedKeyMaterial":   "keyId",
	"DisableAccount":              "accountId",
	"DisableKey":                  "keyId",
	"DisableKeyRotation":          "keyId",
	"EnableKey":                   "keyId",
	"EnableKeyRotation":           "keyId",
	"GetSessionToken":             "credentials.accessKeyId credentials.expiration",
	"ImportKeyMaterial":           "keyId keyMaterialId",
	"PutKeyPolicy":                "keyId",
	"PutSetting":                  "name value",
	"ReplicateKey":                "replicaKeyMetadata.AWSAccountId replicaKeyMetadata.arn replicaKeyMetadata.creationDate replicaKeyMetadata.customerMasterKeySpec replicaKeyMetadata.description replicaKeyMetadata.enabled replicaKeyMetadata.encryptionAlgorithms replicaKeyMetadata.keyId replicaKeyMetadata.keyManager replicaKeyMetadata.keySpec replicaKeyMetadata.keyState replicaKeyMetadata.keyUsage replicaKeyMetadata.multiRegion replicaKeyMetadata.origin",
	"RetireGrant":                 "keyId",
	"RevokeGrant":                 "keyId",
	"RotateKeyOnDemand":           "keyId",
	"ScheduleKeyDeletion":         "deletionDate keyId keyState pendingWindowInDays",
	"Seal":                        "sealed unreachable",
	"TagResource":                 "keyId",
	"UntagResource":               "keyId",
	"UpdateAlias":                 "keyId",
	"UpdateKeyDescription":        "keyId",
	"UpdatePrimaryRegion":         "keyId",
}

// What changes something, and what gives credentials, tells in the record what came of it; what reads tells nothing.
func TestResponseElements(t *testing.T) {
	for _, op := range kms.Operations {
		w := newWorld(t, twoRegions)
		s := w.topic(t, w.Root, op, "alias/a")
		_, err := w.Do(w.Root, op, rights[op].request(s))
		want(t, op.Name, err, verdictOn(op))
		var names []string
		for name, value := range w.lastRecord(t).ResponseElements {
			object, ok := value.(map[string]any)
			if !ok {
				names = append(names, name)
			}
			for member := range object {
				names = append(names, name+"."+member)
			}
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != responses[op.Name] {
			t.Errorf("%q: %q,", op.Name, got)
		}
	}
}
