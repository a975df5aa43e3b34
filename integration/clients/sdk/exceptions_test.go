package sdk

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
)

// exceptions are all that the SDK knows; TestExceptions holds them against the golden ones.
var exceptions = []smithy.APIError{
	&types.AlreadyExistsException{},
	&types.CloudHsmClusterInUseException{},
	&types.CloudHsmClusterInvalidConfigurationException{},
	&types.CloudHsmClusterNotActiveException{},
	&types.CloudHsmClusterNotFoundException{},
	&types.CloudHsmClusterNotRelatedException{},
	&types.ConflictException{},
	&types.CustomKeyStoreHasCMKsException{},
	&types.CustomKeyStoreInvalidStateException{},
	&types.CustomKeyStoreNameInUseException{},
	&types.CustomKeyStoreNotFoundException{},
	&types.DependencyTimeoutException{},
	&types.DisabledException{},
	&types.DryRunOperationException{},
	&types.ExpiredImportTokenException{},
	&types.IncorrectKeyException{},
	&types.IncorrectKeyMaterialException{},
	&types.IncorrectTrustAnchorException{},
	&types.InvalidAliasNameException{},
	&types.InvalidArnException{},
	&types.InvalidCiphertextException{},
	&types.InvalidGrantIdException{},
	&types.InvalidGrantTokenException{},
	&types.InvalidImportTokenException{},
	&types.InvalidKeyUsageException{},
	&types.InvalidMarkerException{},
	&types.KeyUnavailableException{},
	&types.KMSInternalException{},
	&types.KMSInvalidMacException{},
	&types.KMSInvalidSignatureException{},
	&types.KMSInvalidStateException{},
	&types.LimitExceededException{},
	&types.MalformedPolicyDocumentException{},
	&types.NotFoundException{},
	&types.TagException{},
	&types.UnsupportedOperationException{},
	&types.XksKeyAlreadyInUseException{},
	&types.XksKeyInvalidConfigurationException{},
	&types.XksKeyNotFoundException{},
	&types.XksProxyIncorrectAuthenticationCredentialException{},
	&types.XksProxyInvalidConfigurationException{},
	&types.XksProxyInvalidResponseException{},
	&types.XksProxyUriEndpointInUseException{},
	&types.XksProxyUriInUseException{},
	&types.XksProxyUriUnreachableException{},
	&types.XksProxyVpcEndpointServiceInUseException{},
	&types.XksProxyVpcEndpointServiceInvalidConfigurationException{},
	&types.XksProxyVpcEndpointServiceNotFoundException{},
}

// neverGiven are the exceptions that this product does not give, or not to a test that cannot wait, and why.
var neverGiven = map[string]string{
	"CloudHsm":                   "there are no key stores outside of the cluster",
	"CustomKeyStoreHasCMKs":      "there are no key stores outside of the cluster",
	"CustomKeyStoreInvalidState": "there are no key stores outside of the cluster",
	"CustomKeyStoreNameInUse":    "there are no key stores outside of the cluster",
	"IncorrectTrustAnchor":       "there are no key stores outside of the cluster",
	"Xks":                        "there are no key stores outside of the cluster",
	"KeyUnavailable":             "there are no key stores outside of the cluster",
	"KMSInternal":                "it is a fault; api/awskms and kms/service have its tests",
	"ExpiredImportToken":         "a token is good for 24 hours; kms/service has a test with a clock",
}

// elsewhere are those that no operation of TestErrors has, with the tests that provoke them.
var elsewhere = map[string]func(*testing.T){
	"DependencyTimeout": refusesWhileSealed,
	"Conflict":          otherRequestOfAnInvocation,
}

// TestExceptions shows that each exception of the SDK is provoked, or that there is a reason not to.
func TestExceptions(t *testing.T) {
	given := map[string]bool{}
	for operation, list := range modelled {
		for exception := range strings.FieldsSeq(list) {
			given[exception] = given[exception] || notGiven[operation+"/"+exception] == ""
		}
	}
	all := snapshots(t, "response_snapshot", ".error.snap")
	for _, g := range all {
		if !slices.ContainsFunc(exceptions, func(e smithy.APIError) bool { return e.ErrorCode() == g.name }) {
			t.Errorf("%s is not listed", g.name)
		}
	}
	if len(all) != len(exceptions) {
		t.Errorf("%d golden exceptions, %d that are listed", len(all), len(exceptions))
	}
	for _, e := range exceptions {
		name := strings.TrimSuffix(e.ErrorCode(), "Exception")
		reason := ""
		for prefix, why := range neverGiven {
			if strings.HasPrefix(name, prefix) {
				reason = why
			}
		}
		switch test := elsewhere[name]; {
		case given[name] == (reason != "") && test == nil:
			t.Errorf("%s is provoked: %v; is not given because %q", e.ErrorCode(), given[name], reason)
		case test != nil:
			t.Run(e.ErrorCode(), test)
		}
	}
}
