package awskms

import (
	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/kms"
)

// tagging is the one operation of the AWS Resource Groups Tagging API that infrastructure tools ask for,
// https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html, over the same keys.
var tagging = api{
	prefix:  "ResourceGroupsTaggingAPI_20170126.",
	scope:   aws.Scope{Name: "awskms", Services: []string{"tagging"}},
	message: "Message",
	names: map[string]string{
		"ValidationException":           "InvalidParameterException",
		"InvalidMarkerException":        "InvalidParameterException",
		"UnsupportedOperationException": "InvalidParameterException",
		"ThrottlingException":           "ThrottledException",
		"DependencyTimeoutException":    "InternalServiceException",
		"KMSInternalException":          "InternalServiceException",
	},
}

// Shapes of GetResources.
type (
	tagFilter struct {
		Key    *string  `json:"Key" aws:"TagKey,required"`
		Values []string `json:"Values" aws:",each=TagValue"`
	}

	resourcesInput struct {
		PaginationToken           string      `json:"PaginationToken" aws:"PageToken"`
		TagFilters                []tagFilter `json:"TagFilters"`
		ResourcesPerPage          *int        `json:"ResourcesPerPage" aws:"Page100"`
		TagsPerPage               *int        `json:"TagsPerPage" aws:"PageOfTags"`
		ResourceTypeFilters       []string    `json:"ResourceTypeFilters"`
		IncludeComplianceDetails  bool        `json:"IncludeComplianceDetails"`
		ExcludeCompliantResources bool        `json:"ExcludeCompliantResources"`
		ResourceARNList           []string    `json:"ResourceARNList" aws:"ARNs"`
	}

	resourceTag struct {
		Key   string `json:"Key"`
		Value string `json:"Value"`
	}

	resourceTags struct {
		ResourceARN string        `json:"ResourceARN"`
		Tags        []resourceTag `json:"Tags"`
	}

	resourcesOutput struct {
		PaginationToken        string         `json:"PaginationToken"` // "" at the end, as AWS answers it
		ResourceTagMappingList []resourceTags `json:"ResourceTagMappingList"`
	}
)

func taggingActions() []*action {
	a := bind(kms.OpGetResources,
		func(in *resourcesInput) (*kms.GetResourcesRequest, error) {
			if in.IncludeComplianceDetails || in.ExcludeCompliantResources {
				return nil, kms.Errorf(kms.CodeUnsupported, "There are no tag policies that resources could comply with: leave out IncludeComplianceDetails and ExcludeCompliantResources.")
			}
			return &kms.GetResourcesRequest{
				TagFilters:          each(in.TagFilters, func(f tagFilter) kms.TagFilter { return kms.TagFilter{Key: *f.Key, Values: f.Values} }),
				ResourceTypeFilters: in.ResourceTypeFilters, ResourceARNList: in.ResourceARNList,
				ResourcesPerPage: number(in.ResourcesPerPage), TagsPerPage: number(in.TagsPerPage), PaginationToken: in.PaginationToken,
			}, nil
		},
		func(_ *kms.GetResourcesRequest, a *kms.GetResourcesAnswer) *resourcesOutput {
			return &resourcesOutput{PaginationToken: a.PaginationToken, ResourceTagMappingList: each(a.ResourceTagMappingList, func(m kms.ResourceTagMapping) resourceTags {
				return resourceTags{m.ResourceARN, each(m.Tags, func(t kms.Tag) resourceTag { return resourceTag(t) })}
			})}
		})
	a.api = &tagging
	return []*action{a}
}
