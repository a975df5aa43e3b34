package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	fetchTimeout = 5 * time.Second // for both documents
	maxRedirects = 3
	maxHeader    = 64 << 10

	discoveryPath = "/.well-known/openid-configuration" // OpenID Connect Discovery 1.0, 4
)

func newTransport(roots *x509.CertPool) http.RoundTripper {
	return &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
	}
}

// fetch asks an issuer for its keys and returns how long they are fresh. The error is an *Error of
// Unreachable.
func (v *Verifier) fetch(ctx context.Context, k sourceKey) ([]key, time.Duration, error) {
	keys, fresh, err := v.fetchKeys(ctx, k)
	if err != nil {
		v.log.WarnContext(ctx, "the keys of an OpenID Connect issuer could not be fetched", "issuer", k.issuer, "error", err)
		return nil, 0, fail(Unreachable, err, "The provider %s cannot be reached, or its answer cannot be used.", shown(k.issuer))
	}
	v.log.InfoContext(ctx, "the keys of an OpenID Connect issuer were fetched", "issuer", k.issuer, "keys", len(keys), "fresh", fresh)
	return keys, fresh, nil
}

func (v *Verifier) fetchKeys(ctx context.Context, k sourceKey) ([]key, time.Duration, error) {
	roots, err := parseRoots(k.ca)
	if err != nil {
		return nil, 0, fmt.Errorf("oidc: the CA %w", err)
	}
	client := &http.Client{Transport: v.transport(roots), CheckRedirect: v.checkRedirect}
	defer client.CloseIdleConnections()

	body, _, err := v.get(ctx, client, strings.TrimSuffix(k.issuer, "/")+discoveryPath)
	if err != nil {
		return nil, 0, err
	}
	document, err := parseObject(body)
	if err != nil {
		return nil, 0, fmt.Errorf("oidc: the discovery document: %w", err)
	}
	// Who can put a document on some path of a host must not answer for another issuer there.
	if document["issuer"] != k.issuer {
		return nil, 0, errors.New("oidc: the discovery document is of another issuer")
	}
	address, _ := document["jwks_uri"].(string)
	body, header, err := v.get(ctx, client, address)
	if err != nil {
		return nil, 0, err
	}
	keys, err := parseKeys(body)
	if err != nil {
		return nil, 0, fmt.Errorf("oidc: the issuer's JWK Set %w", err)
	}
	return keys, freshness(header), nil
}

// get returns a bounded body. It never asks an address that parseURL refuses.
func (v *Verifier) get(ctx context.Context, client *http.Client, address string) ([]byte, http.Header, error) {
	if _, err := parseURL(address, v.allowLoopbackHTTP); err != nil {
		return nil, nil, fmt.Errorf("oidc: the issuer's address %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("oidc: the issuer answered with status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxDocument {
		return nil, nil, fmt.Errorf("oidc: the issuer answered with more than %d bytes", maxDocument)
	}
	return body, response.Header, nil
}

// checkRedirect keeps a redirect on the scheme, host and port it comes from: the issuer's own word
// says where keys are, and that is jwks_uri.
func (v *Verifier) checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("oidc: more than %d redirects", maxRedirects)
	}
	if request.URL.Scheme != via[0].URL.Scheme || request.URL.Host != via[0].URL.Host {
		return errors.New("oidc: redirect to another host")
	}
	if _, err := parseURL(request.URL.String(), v.allowLoopbackHTTP); err != nil {
		return fmt.Errorf("oidc: the redirect %w", err)
	}
	return nil
}

// freshness returns how long an answer is fresh by its Cache-Control (RFC 9111, 5.2.2), in our
// bounds: no less, so that a login is not a fetch, and no more, so that a key that was taken away
// ends.
func freshness(header http.Header) time.Duration {
	fresh := defaultFresh
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			seconds, err := strconv.Atoi(strings.Trim(value, `"`))
			if err != nil {
				continue
			}
			fresh = time.Duration(min(max(seconds, 0), int(maxFresh/time.Second))) * time.Second
		}
	}
	return min(max(fresh, minFresh), maxFresh)
}
