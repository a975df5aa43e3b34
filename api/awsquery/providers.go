package awsquery

import (
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

type (
	ofProvider struct {
		OpenIDConnectProviderArn string `is:"required,20-2048,arn"`
	}

	createProvider struct {
		Url          string   `is:"required,1-255"`
		ClientIDList []string `is:";1-255"`
	}

	createProviderResult struct{ OpenIDConnectProviderArn string }

	providerResult struct {
		Url          string
		ClientIDList []string
		CreateDate   time.Time
	}

	providerARN struct{ Arn string }

	listProvidersResult struct{ OpenIDConnectProviderList []providerARN }

	clientID struct {
		ofProvider
		ClientID string `is:"required,1-255"`
	}
)

func (s *ofProvider) request() *kms.ProviderRequest {
	return &kms.ProviderRequest{Provider: s.OpenIDConnectProviderArn}
}

func (s *clientID) request() *kms.ClientIDRequest {
	return &kms.ClientIDRequest{Provider: s.OpenIDConnectProviderArn, ClientID: s.ClientID}
}

func providerOperations() []*operation {
	return []*operation{
		serve(iam, kms.OpCreateOIDCProvider, func(s *createProvider) *kms.CreateOIDCProviderRequest {
			return &kms.CreateOIDCProviderRequest{URL: s.Url, ClientIDList: s.ClientIDList}
		}, func(_ *createProvider, a *kms.OIDCProviderAnswer) *createProviderResult {
			return &createProviderResult{a.Provider.ARN}
		}),
		serve(iam, kms.OpGetOIDCProvider, (*ofProvider).request, func(_ *ofProvider, a *kms.OIDCProviderAnswer) *providerResult {
			return &providerResult{strings.TrimPrefix(a.Provider.URL, "https://"), a.Provider.ClientIDList, a.Provider.CreatedAt}
		}),
		serve(iam, kms.OpListOIDCProviders, func(*struct{}) *kms.Empty { return &kms.Empty{} }, func(_ *struct{}, a *kms.ListOIDCProvidersAnswer) *listProvidersResult {
			return &listProvidersResult{pageOf(a.Providers, everything, func(e *kms.OIDCProviderEntry) providerARN { return providerARN{e.ARN} })}
		}),
		change(iam, kms.OpDeleteOIDCProvider, (*ofProvider).request),
		change(iam, kms.OpAddClientIDToOIDCProvider, (*clientID).request),
		change(iam, kms.OpRemoveClientIDFromOIDCProvider, (*clientID).request),
	}
}
