package service

import (
	"context"
	"errors"

	"github.com/fxamacker/cbor/v2"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// What a member knows alone, the others ask it for. Questions and answers are CBOR, sealed as tokens are: between nodes
// too nobody reads who uses what. An answer is tied to its question.
const (
	questionPurpose = "member question"
	answerPurpose   = "member answer"
)

// question asks a member for one thing: which member of it is set says for what.
type question struct {
	Schema    uint8           `cbor:"0,keyasint"` // 1
	Usage     *usageQuestion  `cbor:"1,keyasint,omitempty"`
	AccessKey string          `cbor:"2,keyasint,omitempty"` // when it was last used
	Events    *eventsQuestion `cbor:"3,keyasint,omitempty"`
}

// usageQuestion asks what a member remembers of a key's use.
type usageQuestion struct {
	Scope kms.Scope `cbor:"0,keyasint"`
	KeyID string    `cbor:"1,keyasint"`
}

// askMembers puts a question to the other members, and hands on the answers that can be read. A member counts as silent
// whose answer cannot be, or is not taken: one that does not answer sensibly stops nothing.
func askMembers[A any](r *request, q question, take func(A) bool) (silent int, err error) {
	q.Schema = 1
	sealed, err := sealMessage(r.view, questionPurpose, nil, q)
	if err != nil {
		return 0, err
	}
	answers, silent := r.Cluster.Ask(r.ctx, sealed)
	for _, a := range answers {
		var answer A
		err := openMessage(r.view, answerPurpose, sealed, a, &answer)
		if kms.CodeOf(err) == kms.CodeSealed {
			return silent, err
		}
		if err != nil || !take(answer) {
			silent++
		}
	}
	return silent, nil
}

// Answer answers the question of another member's service.
func (s *Service) Answer(ctx context.Context, sealed []byte) ([]byte, error) {
	hold, err := s.Catalog.Hold()
	if err != nil {
		return nil, err
	}
	defer hold.Release()
	var q question
	if err := openMessage(hold.View(), questionPurpose, nil, sealed, &q); err != nil {
		return nil, err
	}
	var answer any
	switch {
	case q.Usage != nil:
		answer, err = answerUsage(hold.View(), q.Usage)
	case q.AccessKey != "":
		answer = hold.View().AccessKeyUsed(q.AccessKey)
	case q.Events != nil:
		answer, err = s.answerMember(ctx, q.Events)
	default: // a later release asks for something else
		err = kms.Errorf(kms.CodeUnsupported, "The question is not known to this release.")
	}
	if err != nil {
		return nil, err
	}
	return sealMessage(hold.View(), answerPurpose, sealed, answer)
}

// answerUsage answers what this node remembers of a key's use.
func answerUsage(v *catalog.View, q *usageQuestion) (u kms.Usage, err error) {
	raw, err := kms.KeyIDBytes(q.KeyID)
	if err != nil {
		return u, err
	}
	switch k, err := v.Key(q.Scope, raw); {
	case err == nil:
		return k.Used(), nil
	case !errors.Is(err, catalog.ErrNotFound): // one that has not come here yet was not used here
		return u, err
	}
	return kms.Usage{Schema: 1, Scope: q.Scope, KeyID: q.KeyID}, nil
}

func sealMessage(v *catalog.View, purpose string, aad []byte, message any) ([]byte, error) {
	plain, err := catalog.Marshal(message, 512)
	if err != nil {
		return nil, err
	}
	return v.SealToken(purpose, aad, plain)
}

func openMessage(v *catalog.View, purpose string, aad, sealed []byte, into any) error {
	plain, err := v.OpenToken(purpose, aad, sealed)
	if err == nil {
		err = cbor.Unmarshal(plain, into)
	}
	if err != nil && kms.CodeOf(err) != kms.CodeSealed {
		return kms.Errorf(kms.CodeInvalidRequest, "A message of another member cannot be read.").WithCause(err)
	}
	return err
}
