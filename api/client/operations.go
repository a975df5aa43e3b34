package client

import (
	"context"
	"net/http"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
)

// do calls an operation by its one route.
func do[Answer any](ctx context.Context, c *Client, op *kms.Operation, request any, opts []Option) (*Answer, error) {
	answer := new(Answer)
	if err := c.call(ctx, c.routes[op.Name][0], request, answer, opts); err != nil {
		return nil, err
	}
	return answer, nil
}

// GetCallerIdentity says who the client is to the cluster.
func (c *Client) GetCallerIdentity(ctx context.Context, opts ...Option) (*kms.CallerIdentityAnswer, error) {
	return do[kms.CallerIdentityAnswer](ctx, c, kms.OpGetCallerIdentity, nil, opts)
}

// CreateAccount makes an account with a root access key.
func (c *Client) CreateAccount(ctx context.Context, r *kms.CreateAccountRequest, opts ...Option) (*kms.CreateAccountAnswer, error) {
	return do[kms.CreateAccountAnswer](ctx, c, kms.OpCreateAccount, r, opts)
}

// ListAccounts returns one page of accounts.
func (c *Client) ListAccounts(ctx context.Context, r *kms.ListRequest, opts ...Option) (*kms.ListAccountsAnswer, error) {
	return do[kms.ListAccountsAnswer](ctx, c, kms.OpListAccounts, r, opts)
}

// DisableAccount disables an account and its access keys.
func (c *Client) DisableAccount(ctx context.Context, r *kms.AccountRequest, opts ...Option) (*kms.AccountAnswer, error) {
	return do[kms.AccountAnswer](ctx, c, kms.OpDisableAccount, r, opts)
}

// GetSetting returns a replicated setting.
func (c *Client) GetSetting(ctx context.Context, r *kms.SettingRequest, opts ...Option) (*kms.SettingAnswer, error) {
	return do[kms.SettingAnswer](ctx, c, kms.OpGetSetting, r, opts)
}

// PutSetting changes a replicated setting.
func (c *Client) PutSetting(ctx context.Context, r *kms.PutSettingRequest, opts ...Option) (*kms.SettingAnswer, error) {
	return do[kms.SettingAnswer](ctx, c, kms.OpPutSetting, r, opts)
}

// LookupEvents returns one page of the records of the audit trail of all nodes, newest first.
func (c *Client) LookupEvents(ctx context.Context, r *kms.LookupEventsRequest, opts ...Option) (*kms.LookupEventsAnswer, error) {
	return do[kms.LookupEventsAnswer](ctx, c, kms.OpLookupEvents, r, opts)
}

// GetAuditCheckpoint returns the latest signed head of each node's audit trail.
func (c *Client) GetAuditCheckpoint(ctx context.Context, opts ...Option) (*kms.AuditCheckpointAnswer, error) {
	return do[kms.AuditCheckpointAnswer](ctx, c, kms.OpGetAuditCheckpoint, nil, opts)
}

// Members lists the nodes of the cluster.
func (c *Client) Members(ctx context.Context, opts ...Option) (*kms.MembersAnswer, error) {
	return do[kms.MembersAnswer](ctx, c, kms.OpReadMembers, nil, opts)
}

// AllowMember lets a removed or unexpected node name join.
func (c *Client) AllowMember(ctx context.Context, r *kms.AllowMemberRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpAllowMember, r, opts)
	return err
}

// RemoveMember removes a node from the cluster.
func (c *Client) RemoveMember(ctx context.Context, r *kms.RemoveMemberRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpRemoveMember, r, opts)
	return err
}

// Seal seals the first address's node, or every node of the cluster.
func (c *Client) Seal(ctx context.Context, r *kms.SealRequest, opts ...Option) (*kms.SealAnswer, error) {
	return do[kms.SealAnswer](ctx, c, kms.OpSeal, r, opts)
}

// Health asks the first address's node what it can do now. A node that cannot serve is no error.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	answer := new(Health)
	send := &prepared{method: http.MethodGet, path: wire.SystemRoute(wire.Health).Path, header: http.Header{"User-Agent": {c.cfg.UserAgent}}}
	o := collect(nil)
	err := c.limited(ctx, o, c.nodes[0], func(ctx context.Context, n *node) error {
		return c.exchange(ctx, n, send, o, func(r *http.Response, body []byte) error {
			switch r.StatusCode {
			case http.StatusOK, http.StatusNotImplemented, http.StatusServiceUnavailable:
				return decodeAnswer(n, http.StatusOK, body, o, answer)
			default:
				return answeredError(n, r, body)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// Metrics returns the first address's metrics in Prometheus's text format. token is the node's metrics_token; a development
// node asks for none.
func (c *Client) Metrics(ctx context.Context, token string) ([]byte, error) {
	send := &prepared{method: http.MethodGet, path: wire.SystemRoute(wire.Metrics).Path,
		header: http.Header{"User-Agent": {c.cfg.UserAgent}, "Accept": {"text/plain;version=0.0.4"}}}
	if token != "" {
		send.header.Set("Authorization", "Bearer "+token)
	}
	var text []byte
	o := collect(nil)
	err := c.limited(ctx, o, c.nodes[0], func(ctx context.Context, n *node) error {
		return c.exchange(ctx, n, send, o, func(r *http.Response, body []byte) error {
			if r.StatusCode != http.StatusOK {
				return answeredError(n, r, body)
			}
			text = body
			return nil
		})
	})
	return text, err
}

// SealStatus asks the first address's node how far unsealing is.
func (c *Client) SealStatus(ctx context.Context) (*SealStatus, error) {
	answer := new(SealStatus)
	if err := c.call(ctx, wire.SystemRoute(wire.SealStatusOf), nil, answer, nil); err != nil {
		return nil, err
	}
	return answer, nil
}

// Init makes the cluster's keys through the first address's node.
func (c *Client) Init(ctx context.Context, r InitRequest) (*InitAnswer, error) {
	answer := new(InitAnswer)
	if err := c.call(ctx, wire.SystemRoute(wire.Init), &r, answer, nil); err != nil {
		return nil, err
	}
	return answer, nil
}

// Unseal submits one share to the first address's node.
func (c *Client) Unseal(ctx context.Context, r UnsealRequest) (*UnsealAnswer, error) {
	answer := new(UnsealAnswer)
	if err := c.call(ctx, wire.SystemRoute(wire.Unseal), &r, answer, nil); err != nil {
		return nil, err
	}
	return answer, nil
}

// CancelUnseal makes the first address's node forget the shares of an attempt.
func (c *Client) CancelUnseal(ctx context.Context, attempt string) (*SealStatus, error) {
	answer := new(SealStatus)
	if err := c.call(ctx, wire.SystemRoute(wire.CancelUnseal), &wire.CancelUnsealRequest{Attempt: attempt}, answer, nil); err != nil {
		return nil, err
	}
	return answer, nil
}
