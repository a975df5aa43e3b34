// Package oidc verifies OpenID Connect ID tokens of providers that an account trusts, for
// AssumeRoleWithWebIdentity: service accounts of Kubernetes, jobs of GitHub or GitLab, and every
// other issuer that follows OpenID Connect Core 1.0 and Discovery 1.0.
//
// It promises that Verify returns claims only of a token that one key of that very provider signed
// with an asymmetric algorithm, whose issuer is the provider's to the byte, that names an accepted
// audience and that is valid now. Keys come from the provider's configuration or from its own
// discovery document, never from the token.
//
// It does not promise that a token is used once, that it was not revoked at its issuer, or that it
// is an ID token rather than an access token with the same claims. Whether its subject may do
// anything is for a policy to say.
//
// The invariant that would hurt: keys are kept by issuer and CA together, so what one account
// configures for an issuer's name never answers for another account's provider.
package oidc
