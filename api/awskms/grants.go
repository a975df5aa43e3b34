package awskms

import "github.com/lockstep-kms/lockstep/kms"

// Shapes of grants. Service principals and SourceArn are for AWS's own services, of which there are none here.
type (
	grantConstraints struct {
		EncryptionContextSubset map[string]string `json:"EncryptionContextSubset,omitempty"`
		EncryptionContextEquals map[string]string `json:"EncryptionContextEquals,omitempty"`
		SourceARN               string            `json:"SourceArn,omitempty"`
	}

	createGrantInput struct {
		KeyID                    string               `json:"KeyId" aws:",required,key"`
		GranteePrincipal         string               `json:"GranteePrincipal" aws:"Principal"`
		GranteeServicePrincipal  string               `json:"GranteeServicePrincipal"`
		RetiringPrincipal        string               `json:"RetiringPrincipal" aws:"Principal"`
		RetiringServicePrincipal string               `json:"RetiringServicePrincipal"`
		Operations               []kms.GrantOperation `json:"Operations" aws:",required"`
		Constraints              *grantConstraints    `json:"Constraints"`
		GrantTokens              []string             `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		Name                     string               `json:"Name" aws:"GrantName"`
		DryRun                   bool                 `json:"DryRun"`
	}

	createGrantOutput struct {
		GrantToken string `json:"GrantToken,omitempty"`
		GrantID    string `json:"GrantId,omitempty"`
	}

	listGrantsInput struct {
		Limit                   *int   `json:"Limit" aws:"Page100"`
		Marker                  string `json:"Marker" aws:"Marker"`
		KeyID                   string `json:"KeyId" aws:",required,key"`
		GrantID                 string `json:"GrantId" aws:"GrantID"`
		GranteePrincipal        string `json:"GranteePrincipal" aws:"Principal"`
		GranteeServicePrincipal string `json:"GranteeServicePrincipal"`
	}

	listRetirableInput struct {
		Limit                    *int   `json:"Limit" aws:"Page100"`
		Marker                   string `json:"Marker" aws:"Marker"`
		RetiringPrincipal        string `json:"RetiringPrincipal" aws:"Principal"`
		RetiringServicePrincipal string `json:"RetiringServicePrincipal"`
	}

	grantsOutput struct {
		Grants     []grantEntry `json:"Grants"`
		NextMarker string       `json:"NextMarker,omitempty"`
		Truncated  bool         `json:"Truncated"`
	}

	grantEntry struct {
		KeyID                    string               `json:"KeyId,omitempty"`
		GrantID                  string               `json:"GrantId,omitempty"`
		Name                     string               `json:"Name,omitempty"`
		CreationDate             epoch                `json:"CreationDate,omitzero"`
		GranteePrincipal         string               `json:"GranteePrincipal,omitempty"`
		GranteeServicePrincipal  string               `json:"GranteeServicePrincipal,omitempty"`
		RetiringPrincipal        string               `json:"RetiringPrincipal,omitempty"`
		RetiringServicePrincipal string               `json:"RetiringServicePrincipal,omitempty"`
		IssuingAccount           string               `json:"IssuingAccount,omitempty"`
		Operations               []kms.GrantOperation `json:"Operations"`
		Constraints              *grantConstraints    `json:"Constraints,omitempty"`
	}

	retireGrantInput struct {
		GrantToken string `json:"GrantToken" aws:"GrantToken"`
		KeyID      string `json:"KeyId" aws:",key"`
		GrantID    string `json:"GrantId" aws:"GrantID"`
		DryRun     bool   `json:"DryRun"`
	}

	revokeGrantInput struct {
		KeyID   string `json:"KeyId" aws:",required,key"`
		GrantID string `json:"GrantId" aws:"GrantID,required"`
		DryRun  bool   `json:"DryRun"`
	}
)

// Shapes of aliases.
type (
	aliasInput struct {
		AliasName   string `json:"AliasName" aws:"Alias,required"`
		TargetKeyID string `json:"TargetKeyId" aws:"Key,required"`
	}

	deleteAliasInput struct {
		AliasName string `json:"AliasName" aws:"Alias,required"`
	}

	listAliasesInput struct {
		KeyID  string `json:"KeyId" aws:",key"`
		Limit  *int   `json:"Limit" aws:"Page100"`
		Marker string `json:"Marker" aws:"Marker"`
	}

	aliasesOutput struct {
		Aliases    []aliasEntry `json:"Aliases"`
		NextMarker string       `json:"NextMarker,omitempty"`
		Truncated  bool         `json:"Truncated"`
	}

	aliasEntry struct {
		AliasName       string `json:"AliasName,omitempty"`
		AliasARN        string `json:"AliasArn,omitempty"`
		TargetKeyID     string `json:"TargetKeyId,omitempty"`
		CreationDate    epoch  `json:"CreationDate,omitzero"`
		LastUpdatedDate epoch  `json:"LastUpdatedDate,omitzero"`
	}
)

func grantActions() []*action {
	return []*action{
		bind(kms.OpCreateGrant, createGrant,
			func(_ *kms.CreateGrantRequest, a *kms.CreateGrantAnswer) *createGrantOutput {
				return &createGrantOutput{GrantToken: a.GrantToken, GrantID: a.GrantID}
			}),
		bind(kms.OpListGrants,
			func(in *listGrantsInput) (*kms.ListGrantsRequest, error) {
				return &kms.ListGrantsRequest{KeyID: in.KeyID, GrantID: in.GrantID, GranteePrincipal: in.GranteePrincipal,
					Limit: number(in.Limit), Marker: in.Marker}, noServices(in.GranteeServicePrincipal)
			},
			func(_ *kms.ListGrantsRequest, a *kms.ListGrantsAnswer) *grantsOutput { return grants(a) }),
		bind(kms.OpListRetirableGrants,
			func(in *listRetirableInput) (*kms.ListRetirableGrantsRequest, error) {
				if in.RetiringPrincipal == "" && in.RetiringServicePrincipal == "" {
					return nil, missing("retiringPrincipal")
				}
				return &kms.ListRetirableGrantsRequest{RetiringPrincipal: in.RetiringPrincipal, Limit: number(in.Limit), Marker: in.Marker},
					noServices(in.RetiringServicePrincipal)
			},
			func(_ *kms.ListRetirableGrantsRequest, a *kms.ListGrantsAnswer) *grantsOutput { return grants(a) }),
		bind(kms.OpRetireGrant,
			func(in *retireGrantInput) (*kms.RetireGrantRequest, error) {
				return &kms.RetireGrantRequest{GrantToken: in.GrantToken, KeyID: in.KeyID, GrantID: in.GrantID, DryRun: in.DryRun}, nil
			}, nothing[kms.RetireGrantRequest, kms.Empty]),
		bind(kms.OpRevokeGrant,
			func(in *revokeGrantInput) (*kms.RevokeGrantRequest, error) {
				return &kms.RevokeGrantRequest{KeyID: in.KeyID, GrantID: in.GrantID, DryRun: in.DryRun}, nil
			}, nothing[kms.RevokeGrantRequest, kms.Empty]),
	}
}

func createGrant(in *createGrantInput) (*kms.CreateGrantRequest, error) {
	if in.GranteePrincipal == "" && in.GranteeServicePrincipal == "" {
		return nil, missing("granteePrincipal")
	}
	if err := noServices(in.GranteeServicePrincipal + in.RetiringServicePrincipal); err != nil {
		return nil, err
	}
	q := &kms.CreateGrantRequest{KeyID: in.KeyID, GranteePrincipal: in.GranteePrincipal, RetiringPrincipal: in.RetiringPrincipal,
		Operations: in.Operations, Name: in.Name, GrantTokens: in.GrantTokens, DryRun: in.DryRun}
	if c := in.Constraints; c != nil {
		if err := noServices(c.SourceARN); err != nil {
			return nil, err
		}
		q.Constraints = &kms.GrantConstraints{EncryptionContextEquals: c.EncryptionContextEquals, EncryptionContextSubset: c.EncryptionContextSubset}
	}
	return q, nil
}

// missing is the refusal of a member that is required unless another is there.
func missing(name string) error {
	return kms.Errorf(kms.CodeValidation, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", name)
}

// noServices refuses members that are about services of AWS.
func noServices(named string) error {
	if named != "" {
		return kms.Errorf(kms.CodeUnsupported, "Grants to AWS services (GranteeServicePrincipal, RetiringServicePrincipal, SourceArn) are not served: name a principal by its ARN.")
	}
	return nil
}

func grants(a *kms.ListGrantsAnswer) *grantsOutput {
	return &grantsOutput{Grants: each(a.Grants, grant), NextMarker: a.NextMarker, Truncated: a.NextMarker != ""}
}

func grant(g kms.GrantEntry) grantEntry {
	e := grantEntry{KeyID: g.KeyID, GrantID: g.GrantID, Name: g.Name, CreationDate: at(g.CreationDate), GranteePrincipal: g.GranteePrincipal,
		RetiringPrincipal: g.RetiringPrincipal, IssuingAccount: g.IssuingAccount, Operations: g.Operations}
	if c := g.Constraints; c != nil {
		e.Constraints = &grantConstraints{EncryptionContextSubset: c.EncryptionContextSubset, EncryptionContextEquals: c.EncryptionContextEquals}
	}
	return e
}

func aliasActions() []*action {
	return []*action{
		bind(kms.OpCreateAlias,
			func(in *aliasInput) (*kms.CreateAliasRequest, error) {
				return &kms.CreateAliasRequest{AliasName: in.AliasName, TargetKeyID: in.TargetKeyID}, nil
			}, nothing[kms.CreateAliasRequest, kms.AliasAnswer]),
		bind(kms.OpUpdateAlias,
			func(in *aliasInput) (*kms.UpdateAliasRequest, error) {
				return &kms.UpdateAliasRequest{AliasName: in.AliasName, TargetKeyID: in.TargetKeyID}, nil
			}, nothing[kms.UpdateAliasRequest, kms.AliasAnswer]),
		bind(kms.OpDeleteAlias,
			func(in *deleteAliasInput) (*kms.DeleteAliasRequest, error) {
				return &kms.DeleteAliasRequest{AliasName: in.AliasName}, nil
			}, nothing[kms.DeleteAliasRequest, kms.Empty]),
		bind(kms.OpListAliases,
			func(in *listAliasesInput) (*kms.ListAliasesRequest, error) {
				return &kms.ListAliasesRequest{KeyID: in.KeyID, Limit: number(in.Limit), Marker: in.Marker}, nil
			},
			func(_ *kms.ListAliasesRequest, a *kms.ListAliasesAnswer) *aliasesOutput {
				return &aliasesOutput{Aliases: each(a.Aliases, alias), NextMarker: a.NextMarker, Truncated: a.NextMarker != ""}
			}),
	}
}

func alias(a kms.AliasEntry) aliasEntry {
	return aliasEntry{AliasName: a.AliasName, AliasARN: a.AliasARN, TargetKeyID: a.TargetKeyID, CreationDate: at(a.CreationDate), LastUpdatedDate: at(a.LastUpdatedDate)}
}
