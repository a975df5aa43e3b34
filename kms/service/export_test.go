package service

import (
	"context"

	"github.com/lockstep-kms/lockstep/audit/index"
)

// KeepAnswers hands every answer that is made from the view to keep, before it is audited. Tests see so what
// becomes of an answer that does not leave.
func (s *Service) KeepAnswers(keep func(answer any)) {
	for _, u := range s.uses {
		if read := u.read; read != nil {
			u.read = func(r *request) (any, error) {
				answer, err := read(r)
				if err == nil {
					keep(answer)
				}
				return answer, err
			}
		}
	}
}

// WipeAnswer is wipeAnswer.
var WipeAnswer = wipeAnswer

// HeavyWork is what bounds who makes RSA keys.
type HeavyWork = gate

// The bounds of HeavyWork and how to ask it.
const (
	HeavyAll     = heavyAll
	HeavyAccount = heavyAccount
)

var NewHeavyWork = newHeavyWork

func (g *gate) Enter(account string) bool { return g.enter(account) }
func (g *gate) Leave(account string)      { g.leave(account) }

// EventPlace is a place among the records of all nodes, as markers name it.
type EventPlace = eventPlace

// EncodePlace and DecodePlace are how it stands in a marker.
func EncodePlace(p EventPlace) string { return p.encode() }

var DecodePlace = decodePlace

// PageOfEvents is one page of what some nodes find.
func PageOfEvents(ctx context.Context, nodes []*Service, q index.Query, after *EventPlace, limit, bytes int) ([]index.Hit, *EventPlace, error) {
	var found []eventsAnswer
	for _, s := range nodes {
		a, err := s.answerEvents(ctx, &eventsQuestion{Query: q, After: after})
		if err != nil {
			return nil, nil, err
		}
		found = append(found, a)
	}
	hits, next := mergeEvents(found, limit, bytes)
	return hits, next, nil
}

// EventsAccount is how many of one account look up events or wait for it, on a node.
const EventsAccount = eventsAccount

// MemberBytes bounds the records of one node's answer.
const MemberBytes = memberBytes

// EventsRunning is how many look up events at a time.
var EventsRunning = eventsRunning

// AnswerMember looks up events for an account that asked another member.
func (s *Service) AnswerMember(ctx context.Context, account string) error {
	_, err := s.answerMember(ctx, &eventsQuestion{Account: account})
	return err
}
