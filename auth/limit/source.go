package limit

import (
	"net/netip"
	"slices"
	"strings"
)

const (
	maxHops  = 32 // entries of X-Forwarded-For that are looked at
	maxEntry = 80 // bytes of an address with brackets, zone and port
)

// Source returns the address of the client that a request comes from. The TCP peer is the client
// unless it is a trusted proxy. Then forwarded, the values of all X-Forwarded-For lines in their
// order, is read from the right, where the proxy next to us wrote: the first address that is not
// trusted is the client, and everything left of it is what that client claims. When all are trusted
// it is the leftmost.
//
// An entry that is no address ends the walk, as does the 33rd entry, and the address to its right is
// returned: what a proxy could not name is laid on the proxy. Addresses may have a port; the result
// has none, no zone, and is IPv4 when it was IPv4 mapped into IPv6. A trusted prefix of mapped
// addresses therefore matches nothing. A peer that is no address, as that of a Unix socket, is
// returned as it is.
func Source(peer string, forwarded []string, trusted []netip.Prefix) string {
	source, ok := parseAddr(peer)
	if !ok {
		return peer
	}
	isTrusted := func(p netip.Prefix) bool { return p.Contains(source) }
	line, last := "", len(forwarded)
	for hops, more := 0, false; hops < maxHops && slices.ContainsFunc(trusted, isTrusted); hops++ {
		if !more {
			if last--; last < 0 {
				break
			}
			line = forwarded[last]
		}
		var entry string
		line, entry, more = cutLast(line)
		addr, ok := parseAddr(strings.Trim(entry, " \t"))
		if !ok {
			break
		}
		source = addr
	}
	return source.String()
}

// cutLast splits off the last entry of a list and reports whether there are others.
func cutLast(list string) (rest, entry string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return "", list, false
	}
	return list[:i], list[i+1:], true
}

// parseAddr reads an address with or without a port, IPv6 in brackets when it has one.
func parseAddr(s string) (netip.Addr, bool) {
	if s == "" || len(s) > maxEntry {
		return netip.Addr{}, false
	}
	var addr netip.Addr
	var err error
	switch inner, bracketed := strings.CutPrefix(s, "["); {
	case bracketed && strings.HasSuffix(s, "]"):
		addr, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if addr.Is4() {
			return netip.Addr{}, false // brackets are for IPv6 (RFC 3986, section 3.2.2)
		}
	case bracketed || strings.Count(s, ":") == 1:
		var port netip.AddrPort
		port, err = netip.ParseAddrPort(s)
		addr = port.Addr()
	default:
		addr, err = netip.ParseAddr(s)
	}
	return addr.WithZone("").Unmap(), err == nil
}
