package client

import (
	"context"

	"github.com/lockstep-kms/lockstep/kms"
)

// Encrypt encrypts up to 4096 bytes.
func (c *Client) Encrypt(ctx context.Context, r *kms.EncryptRequest, opts ...Option) (*kms.EncryptAnswer, error) {
	return do[kms.EncryptAnswer](ctx, c, kms.OpEncrypt, r, opts)
}

// Decrypt decrypts a ciphertext; without a key id, with the key that it names.
func (c *Client) Decrypt(ctx context.Context, r *kms.DecryptRequest, opts ...Option) (*kms.DecryptAnswer, error) {
	route := c.routes[kms.OpDecrypt.Name][0]
	if r.KeyID != "" {
		route = c.routes[kms.OpDecrypt.Name][1]
	}
	answer := new(kms.DecryptAnswer)
	if err := c.call(ctx, route, r, answer, opts); err != nil {
		return nil, err
	}
	return answer, nil
}

// ReEncrypt moves a ciphertext to another key.
func (c *Client) ReEncrypt(ctx context.Context, r *kms.ReEncryptRequest, opts ...Option) (*kms.ReEncryptAnswer, error) {
	return do[kms.ReEncryptAnswer](ctx, c, kms.OpReEncrypt, r, opts)
}

// GenerateDataKey makes a data key.
func (c *Client) GenerateDataKey(ctx context.Context, r *kms.GenerateDataKeyRequest, opts ...Option) (*kms.GenerateDataKeyAnswer, error) {
	return do[kms.GenerateDataKeyAnswer](ctx, c, kms.OpGenerateDataKey, r, opts)
}

// GenerateDataKeyWithoutPlaintext makes a data key and answers it encrypted only.
func (c *Client) GenerateDataKeyWithoutPlaintext(ctx context.Context, r *kms.GenerateDataKeyRequest, opts ...Option) (*kms.GenerateDataKeyAnswer, error) {
	return do[kms.GenerateDataKeyAnswer](ctx, c, kms.OpGenerateDataKeyWithoutPlaintext, r, opts)
}

// GenerateRandom returns random bytes.
func (c *Client) GenerateRandom(ctx context.Context, r *kms.GenerateRandomRequest, opts ...Option) (*kms.GenerateRandomAnswer, error) {
	return do[kms.GenerateRandomAnswer](ctx, c, kms.OpGenerateRandom, r, opts)
}

// GenerateDataKeyPair makes a data key pair.
func (c *Client) GenerateDataKeyPair(ctx context.Context, r *kms.GenerateDataKeyPairRequest, opts ...Option) (*kms.GenerateDataKeyPairAnswer, error) {
	return do[kms.GenerateDataKeyPairAnswer](ctx, c, kms.OpGenerateDataKeyPair, r, opts)
}

// GenerateDataKeyPairWithoutPlaintext makes a data key pair and answers its private key encrypted only.
func (c *Client) GenerateDataKeyPairWithoutPlaintext(ctx context.Context, r *kms.GenerateDataKeyPairRequest, opts ...Option) (*kms.GenerateDataKeyPairAnswer, error) {
	return do[kms.GenerateDataKeyPairAnswer](ctx, c, kms.OpGenerateDataKeyPairWithoutPlaintext, r, opts)
}

// Sign signs a message or its digest.
func (c *Client) Sign(ctx context.Context, r *kms.SignRequest, opts ...Option) (*kms.SignAnswer, error) {
	return do[kms.SignAnswer](ctx, c, kms.OpSign, r, opts)
}

// Verify checks a signature; one that is not right is an error, kms.CodeInvalidSignature.
func (c *Client) Verify(ctx context.Context, r *kms.VerifyRequest, opts ...Option) (*kms.VerifyAnswer, error) {
	return do[kms.VerifyAnswer](ctx, c, kms.OpVerify, r, opts)
}

// GenerateMac makes an HMAC.
func (c *Client) GenerateMac(ctx context.Context, r *kms.GenerateMacRequest, opts ...Option) (*kms.GenerateMacAnswer, error) {
	return do[kms.GenerateMacAnswer](ctx, c, kms.OpGenerateMac, r, opts)
}

// VerifyMac checks an HMAC; one that is not right is an error, kms.CodeInvalidMac.
func (c *Client) VerifyMac(ctx context.Context, r *kms.VerifyMacRequest, opts ...Option) (*kms.VerifyMacAnswer, error) {
	return do[kms.VerifyMacAnswer](ctx, c, kms.OpVerifyMac, r, opts)
}

// GetPublicKey returns the public key of an asymmetric key.
func (c *Client) GetPublicKey(ctx context.Context, r *kms.GetPublicKeyRequest, opts ...Option) (*kms.GetPublicKeyAnswer, error) {
	return do[kms.GetPublicKeyAnswer](ctx, c, kms.OpGetPublicKey, r, opts)
}

// DeriveSharedSecret derives the secret that a key shares with another's public key.
func (c *Client) DeriveSharedSecret(ctx context.Context, r *kms.DeriveSharedSecretRequest, opts ...Option) (*kms.DeriveSharedSecretAnswer, error) {
	return do[kms.DeriveSharedSecretAnswer](ctx, c, kms.OpDeriveSharedSecret, r, opts)
}

// Encapsulate makes a shared secret and its ciphertext.
func (c *Client) Encapsulate(ctx context.Context, r *kms.EncapsulateRequest, opts ...Option) (*kms.EncapsulateAnswer, error) {
	return do[kms.EncapsulateAnswer](ctx, c, kms.OpEncapsulate, r, opts)
}

// Decapsulate returns the shared secret of a ciphertext.
func (c *Client) Decapsulate(ctx context.Context, r *kms.DecapsulateRequest, opts ...Option) (*kms.DecapsulateAnswer, error) {
	return do[kms.DecapsulateAnswer](ctx, c, kms.OpDecapsulate, r, opts)
}
