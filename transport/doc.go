// Package transport joins the nodes of one cluster: one TCP port, mutual TLS 1.3, three channels
// told apart by ALPN (Raft streams, calls, gossip).
//
// It promises:
//
//   - Who is on the other end. Each side presents a certificate of the cluster's CA that names a
//     node; a dialed peer's certificate names the node that was dialed; and before a stream is
//     handed to anyone the two sides exchange a [Hello] that [Config.Check] of both accepted.
//   - Names, not addresses. A caller knows nodes by name; the address is resolved at each dial.
//   - Failed is not unknown. A call that did not return the peer's answer says whether the request
//     may have reached the peer ([CallError]).
//   - Bounds: on frames, calls in flight, bytes waiting, handshakes and time.
//
// It does not promise that a message arrives, nor order between calls, nor that what gossip says is
// true: gossip only hints where a node may be found, and the certificate decides whether it is there.
// It wipes nothing: a payload lies for a while in buffers of this package and of crypto/tls.
// A [Hello] is what the peer said when the connection was made; [Transport.Recheck] asks Check again
// about all open connections after membership has changed.
//
// The invariant that would hurt: no byte of a channel reaches Raft, a handler or gossip before TLS,
// the name in the certificate, and the hello have all been checked. Everything goes through
// (*Transport).accept or (*Transport).dial, which are the only makers of a stream.
package transport
