package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const dialLimit = 10 * time.Second

// Request is an HTTP/1.1 request as it goes over the wire.
type Request []byte

// NewRequest renders a POST of a JSON body. headers are whole lines without their end.
func NewRequest(target, body string, headers ...string) (address string, r Request, err error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", nil, err
	}
	if u.Scheme != "http" || u.Port() == "" {
		return "", nil, fmt.Errorf("%q is not of the form http://host:port/path", target)
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", u.RequestURI(), u.Host, len(body))
	for _, line := range headers {
		head += line + "\r\n"
	}
	return u.Host, Request(head + "\r\n" + body), nil
}

// Header renders the access key as a line for NewRequest.
func (c Credential) Header() string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(c.ID+":"+c.Secret))
}

// Sign signs a POST of a JSON body, as it is now, and renders the headers as lines for NewRequest. operation is what
// X-Amz-Target names, "" for none.
func (c Credential) Sign(target, operation, body string) ([]string, error) {
	q, err := http.NewRequest(http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Content-Type", "application/json")
	var lines []string
	if operation != "" {
		q.Header.Set("X-Amz-Target", operation)
		lines = append(lines, "X-Amz-Target: "+operation)
	}
	sum := sha256.Sum256([]byte(body))
	key := aws.Credentials{AccessKeyID: c.ID, SecretAccessKey: c.Secret}
	if err := v4.NewSigner().SignHTTP(context.Background(), key, q, hex.EncodeToString(sum[:]), "kms", "us-east-1", time.Now()); err != nil {
		return nil, err
	}
	return append(lines, "X-Amz-Date: "+q.Header.Get("X-Amz-Date"), "Authorization: "+q.Header.Get("Authorization")), nil
}

// Conn is one keep-alive connection. Raw connections keep the generator cheap, since it shares the
// machine with the servers.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
}

// Dial connects to a host:port.
func Dial(address string) (*Conn, error) {
	conn, err := net.DialTimeout("tcp", address, dialLimit)
	if err != nil {
		return nil, err
	}
	return &Conn{conn, bufio.NewReader(conn)}, nil
}

// Do sends one request and reads its answer whole, all within limit.
func (c *Conn) Do(r Request, limit time.Duration) (status int, body []byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return 0, nil, err
	}
	return exchange(c.conn, c.in, r)
}

func exchange(out io.Writer, in *bufio.Reader, r Request) (status int, body []byte, err error) {
	if _, err := out.Write(r); err != nil {
		return 0, nil, err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	if n := answer.ContentLength; n >= 0 && n < 1<<20 {
		body = make([]byte, n)
		_, err = io.ReadFull(answer.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	}
	return answer.StatusCode, body, err
}

// Close ends the connection.
func (c *Conn) Close() { c.conn.Close() }
