package replica

import (
	"sync"

	"github.com/hashicorp/raft"
)

// wire is Raft's network transport with pipelines that end.
//
// Raft, in v1.7.3 as in v1.8.0, stops to read a pipeline when a follower refuses an entry or knows a later term, and goes on to send
// into it: with two calls under way it waits for ever (hashicorp/raft issue 612). The follower gets heartbeats, and entries never
// again, and Raft does not stop.
type wire struct{ *raft.NetworkTransport }

// AppendEntriesPipeline implements raft.Transport.
func (w wire) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := w.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return newPipeline(p), nil
}

// pipeline hands on what a pipeline answers, up to the first answer behind which Raft reads no more. Then it is closed, so that
// whoever sends into it is told.
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	closed  chan struct{}
	end     func()
}

func newPipeline(p raft.AppendPipeline) *pipeline {
	closed := make(chan struct{})
	w := &pipeline{AppendPipeline: p, answers: make(chan raft.AppendFuture), closed: closed, end: sync.OnceFunc(func() { close(closed) })}
	go w.run()
	return w
}

func (p *pipeline) run() {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			select {
			case p.answers <- f:
			case <-p.closed:
				return
			}
			if a := f.Response(); !a.Success || a.Term > f.Request().Term {
				p.AppendPipeline.Close()
				return
			}
		case <-p.closed:
			return
		}
	}
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.end()
	return p.AppendPipeline.Close()
}
