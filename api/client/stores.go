package client

import (
	"context"

	"github.com/lockstep-kms/lockstep/kms"
)

// CreateCustomKeyStore asks for a key store outside the cluster. This release serves none: whoever may ask gets
// kms.CodeUnsupported, here and from what changes one.
func (c *Client) CreateCustomKeyStore(ctx context.Context, r *kms.CreateCustomKeyStoreRequest, opts ...Option) (*kms.CreateCustomKeyStoreAnswer, error) {
	return do[kms.CreateCustomKeyStoreAnswer](ctx, c, kms.OpCreateCustomKeyStore, r, opts)
}

// UpdateCustomKeyStore changes a key store outside the cluster.
func (c *Client) UpdateCustomKeyStore(ctx context.Context, r *kms.UpdateCustomKeyStoreRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpUpdateCustomKeyStore, r, opts)
	return err
}

// DeleteCustomKeyStore deletes a key store outside the cluster.
func (c *Client) DeleteCustomKeyStore(ctx context.Context, r *kms.CustomKeyStoreRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteCustomKeyStore, r, opts)
	return err
}

// DescribeCustomKeyStores returns one page of key stores outside the cluster: an empty one.
func (c *Client) DescribeCustomKeyStores(ctx context.Context, r *kms.DescribeCustomKeyStoresRequest, opts ...Option) (*kms.DescribeCustomKeyStoresAnswer, error) {
	return do[kms.DescribeCustomKeyStoresAnswer](ctx, c, kms.OpDescribeCustomKeyStores, r, opts)
}

// ConnectCustomKeyStore connects a key store outside the cluster.
func (c *Client) ConnectCustomKeyStore(ctx context.Context, r *kms.CustomKeyStoreRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpConnectCustomKeyStore, r, opts)
	return err
}

// DisconnectCustomKeyStore disconnects a key store outside the cluster.
func (c *Client) DisconnectCustomKeyStore(ctx context.Context, r *kms.CustomKeyStoreRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDisconnectCustomKeyStore, r, opts)
	return err
}
