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

		ThumbprintList []string `is:";40-40"`
		Tags           tagList  `is:"0-50"`
	}

	createProviderResult struct {
		OpenIDConnectProviderArn string
		Tags                     *tagList
	}

	providerResult struct {
		Url          string
		ClientIDList []string

		ThumbprintList []string
		CreateDate     time.Time
		Tags           *tagList
	}

	updateThumbprint struct {
		ofProvider
		ThumbprintList []string `is:"required;40-40"`
	}

	tagProvider struct {
		ofProvider
		Tags tagList `is:"required,0-50"`
	}

	untagProvider struct {
		ofProvider
		TagKeys []string `is:"required,0-50;1-128,tagkey"`
	}

	listProviderTags struct {
		ofProvider
		whole
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
			return &kms.CreateOIDCProviderRequest{URL: s.Url, ClientIDList: s.ClientIDList, ThumbprintList: s.ThumbprintList, Tags: tagMap(s.Tags)}
		}, func(_ *createProvider, a *kms.OIDCProviderAnswer) *createProviderResult {
			return &createProviderResult{a.Provider.ARN, tagsOf(a.Provider.Tags)}
		}),
		serve(iam, kms.OpGetOIDCProvider, (*ofProvider).request, func(_ *ofProvider, a *kms.OIDCProviderAnswer) *providerResult {
			return &providerResult{strings.TrimPrefix(a.Provider.URL, "https://"), a.Provider.ClientIDList, a.Provider.ThumbprintList, a.Provider.CreatedAt, tagsOf(a.Provider.Tags)}
		}),
		serve(iam, kms.OpListOIDCProviders, func(*struct{}) *kms.Empty { return &kms.Empty{} }, func(_ *struct{}, a *kms.ListOIDCProvidersAnswer) *listProvidersResult {
			return &listProvidersResult{pageOf(a.Providers, everything, func(e *kms.OIDCProviderEntry) providerARN { return providerARN{e.ARN} })}
		}),
		change(iam, kms.OpDeleteOIDCProvider, (*ofProvider).request),
		change(iam, kms.OpAddClientIDToOIDCProvider, (*clientID).request),
		change(iam, kms.OpRemoveClientIDFromOIDCProvider, (*clientID).request),
		change(iam, kms.OpUpdateOIDCThumbprint, func(s *updateThumbprint) *kms.UpdateThumbprintRequest {
			return &kms.UpdateThumbprintRequest{Provider: s.OpenIDConnectProviderArn, ThumbprintList: s.ThumbprintList}
		}),
		change(iam, kms.OpTagOIDCProvider, func(s *tagProvider) *kms.TagProviderRequest {
			return &kms.TagProviderRequest{Provider: s.OpenIDConnectProviderArn, Tags: tagMap(s.Tags)}
		}),
		change(iam, kms.OpUntagOIDCProvider, func(s *untagProvider) *kms.UntagProviderRequest {
			return &kms.UntagProviderRequest{Provider: s.OpenIDConnectProviderArn, TagKeys: s.TagKeys}
		}),
		serve(iam, kms.OpListOIDCProviderTags, (*listProviderTags).request, func(_ *listProviderTags, a *kms.OIDCProviderAnswer) *listTagsResult {
			return &listTagsResult{Tags: allTags(a.Provider.Tags)}
		}),
	}
}
