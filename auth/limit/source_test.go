package limit

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var trustedProxies = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("2001:db8:aaaa::/48"),
	netip.MustParsePrefix("fe80::/10"),
}

func TestSource(t *testing.T) {
	hops := func(n int) string { return strings.TrimSuffix(strings.Repeat("10.0.0.9,", n), ",") }
	tests := []struct {
		name      string
		peer      string
		forwarded []string
		want      string
	}{
		{"no proxy", "192.0.2.1:1234", nil, "192.0.2.1"},
		{"no proxy, no port", "192.0.2.1", nil, "192.0.2.1"},
		{"no proxy, IPv6", "[2001:db8::1]:1234", nil, "2001:db8::1"},
		{"an untrusted peer claims another", "192.0.2.1:1234", []string{"10.0.0.1"}, "192.0.2.1"},
		{"Unix socket", "@", []string{"192.0.2.1"}, "@"},
		{"no peer", "", []string{"192.0.2.1"}, ""},

		{"one proxy", "10.0.0.1:80", []string{"192.0.2.1"}, "192.0.2.1"},
		{"one proxy without the header", "10.0.0.1:80", nil, "10.0.0.1"},
		{"two proxies", "10.0.0.1:80", []string{"192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		{"two proxies, two lines", "10.0.0.1:80", []string{"192.0.2.1", "10.0.0.2"}, "192.0.2.1"},
		{"IPv6 proxies", "[2001:db8:aaaa::1]:80", []string{"2001:db8::1,2001:db8:aaaa::2"}, "2001:db8::1"},
		{"a call from inside", "10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},

		{"spoofed in the same line", "10.0.0.1:80", []string{"127.0.0.1, 192.0.2.1"}, "192.0.2.1"},
		{"spoofed in a line before", "10.0.0.1:80", []string{"127.0.0.1", "192.0.2.1"}, "192.0.2.1"},
		{"spoofed proxies", "10.0.0.1:80", []string{"127.0.0.1, 10.0.0.7, 192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		{"spoofed garbage", "10.0.0.1:80", []string{"<script>, 192.0.2.1"}, "192.0.2.1"},

		{"malformed at once", "10.0.0.1:80", []string{"192.0.2.1, unknown"}, "10.0.0.1"},
		{"malformed after a proxy", "10.0.0.1:80", []string{"192.0.2.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"empty entry", "10.0.0.1:80", []string{"192.0.2.1,,10.0.0.2"}, "10.0.0.2"},
		{"empty line", "10.0.0.1:80", []string{"192.0.2.1", ""}, "10.0.0.1"},
		{"comma at the end", "10.0.0.1:80", []string{"192.0.2.1,"}, "10.0.0.1"},
		{"quoted", "10.0.0.1:80", []string{`"192.0.2.1"`}, "10.0.0.1"},
		{"port out of range", "10.0.0.1:80", []string{"192.0.2.1:65536"}, "10.0.0.1"},
		{"IPv4 in brackets", "10.0.0.1:80", []string{"[192.0.2.1]"}, "10.0.0.1"},
		{"open bracket", "10.0.0.1:80", []string{"[2001:db8::1"}, "10.0.0.1"},
		{"zone without end", "10.0.0.1:80", []string{"2001:db8::1%" + strings.Repeat("z", maxEntry)}, "10.0.0.1"},

		{"port", "10.0.0.1:80", []string{"192.0.2.1:5678"}, "192.0.2.1"},
		{"IPv6 with port", "10.0.0.1:80", []string{"[::1]:80"}, "::1"},
		{"IPv6 in brackets", "10.0.0.1:80", []string{"[::1]"}, "::1"},
		{"mapped peer", "[::ffff:10.0.0.1]:80", []string{"192.0.2.1"}, "192.0.2.1"},
		{"mapped entry", "10.0.0.1:80", []string{"192.0.2.1, ::ffff:10.0.0.2"}, "192.0.2.1"},
		{"mapped client", "10.0.0.1:80", []string{"[::ffff:192.0.2.1]:1"}, "192.0.2.1"},
		{"zone of the peer", "[fe80::1%eth0]:80", []string{"2001:db8::1%x"}, "2001:db8::1"},
		{"mapped with a zone", "10.0.0.1:80", []string{"::ffff:192.0.2.1%x"}, "192.0.2.1"},
		{"tabs and spaces", "10.0.0.1:80", []string{"\t192.0.2.1 \t,  10.0.0.2  "}, "192.0.2.1"},

		{"31 proxies before the client", "10.0.0.1:80", []string{"192.0.2.1," + hops(31)}, "192.0.2.1"},
		{"32 proxies before the client", "10.0.0.1:80", []string{"192.0.2.1," + hops(32)}, "10.0.0.9"},
		{"32 lines before the client", "10.0.0.1:80", append([]string{"192.0.2.1"}, slices.Repeat([]string{"10.0.0.9"}, 32)...), "10.0.0.9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Source(tt.peer, tt.forwarded, trustedProxies); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	if got := Source("10.0.0.1:80", []string{"192.0.2.1"}, nil); got != "10.0.0.1" {
		t.Errorf("with nobody trusted: got %s", got)
	}
}

// FuzzSource compares with a walk over the split list, and checks what a client cannot do: change
// the result by what it writes to the left of its own address.
func FuzzSource(f *testing.F) {
	f.Add("10.0.0.1:80", "192.0.2.1, 10.0.0.2")
	f.Add("192.0.2.1:80", "10.0.0.2")
	f.Add("[fe80::1%eth0]:80", "[2001:db8::1]:5\n2001:db8:aaaa::1\n::ffff:10.1.2.3")
	f.Add("10.0.0.1", ",,\n\n,")
	f.Add("@", "::1")
	f.Fuzz(func(t *testing.T, peer, header string) {
		lines := strings.Split(header, "\n")
		got := Source(peer, lines, trustedProxies)
		addr, ok := parseAddr(peer)
		if !ok {
			if got != peer {
				t.Fatalf("%q became %q", peer, got)
			}
			return
		}
		isTrusted := func(p netip.Prefix) bool { return p.Contains(addr) }
		entries := strings.Split(strings.Join(lines, ","), ",")
		slices.Reverse(entries)
		for _, entry := range entries[:min(len(entries), maxHops)] {
			next, ok := parseAddr(strings.Trim(entry, " \t"))
			if !ok || !slices.ContainsFunc(trustedProxies, isTrusted) {
				break
			}
			addr = next
		}
		if got != addr.String() {
			t.Fatalf("got %s, the reference %s", got, addr)
		}
		if addr.Is4In6() || addr.Zone() != "" {
			t.Fatalf("%s is not canonical", got)
		}
		if slices.ContainsFunc(trustedProxies, isTrusted) {
			return
		}
		spoofed := append([]string{"203.0.113.9, 10.0.0.1"}, lines...)
		if again := Source(peer, spoofed, trustedProxies); again != got {
			t.Fatalf("a client made itself %s, it is %s", again, got)
		}
	})
}

func BenchmarkSource(b *testing.B) {
	forwarded := []string{"192.0.2.1, 10.0.0.2"}
	b.ReportAllocs()
	for b.Loop() {
		Source("10.0.0.1:1234", forwarded, trustedProxies)
	}
}
