// Package sigv4 verifies requests signed with AWS Signature Version 4 (header form), as the SDKs, the
// AWS CLI, boto3 and curl sign them for AWS KMS.
//
// Protocol: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
//
// # Use
//
// Parse says everything that can be said without the secret: it returns the claimed access key id
// and checks the form, the time and the scope. The caller finds the secret of the id, hands it to
// Verify, an empty one if there is none, and trusts nothing of the request before Verify returned nil.
//
// # Promises
//
//   - The method, the host, the path, the query, the body and the signed headers of a verified request
//     are those that were signed by who has the secret, at most five minutes (Skew) from now.
//   - Signed are always: host, the header that the time comes from (X-Amz-Date or, without it, Date),
//     Content-Type (but for Rules.Untyped) and every X-Amz- header that the request has, and what
//     Rules.Required adds. Of these, each comes once.
//   - The body is always covered: its hash is computed here from what arrived. X-Amz-Content-Sha256, if
//     sent, must be that hash, so UNSIGNED-PAYLOAD and STREAMING- payloads are refused.
//   - Refusing costs the same work for an access key that does not exist, that is cached and that is
//     not: one derivation and one comparison in constant time. Only a request that verifies is cheaper.
//   - A cached key is used only for the secret it was derived from, and only requests that verify put
//     keys into the cache.
//   - Every input is bounded, and nothing of a request can end a line of the canonical request.
//
// # Decisions
//
//   - Path: services other than S3 sign the path with each segment escaped twice, that is the path as
//     sent, escaped again. curl signs it as sent, so this second form is accepted where it cannot be
//     taken for the first form of another path (see hasSecondForm). Some clients sign
//     the normal form of the path and others what they send; here a path is accepted only if both are
//     the same. So empty, "." and ".." segments, also escaped ones, are refused.
//   - Query: names and values are unescaped as net/url does, with '+' for a space, escaped again and
//     sorted by name and value. Empty pairs and broken escapes are refused. A name that begins with
//     X-Amz-, in any case or escaping, is refused: presigned URLs are not accepted.
//   - Header values: blanks around a value go, and runs of spaces become one space. Several headers of
//     one name are joined with commas in the order of their arrival.
//   - Header names must be as net/http writes them, so one name cannot be in the map twice.
//   - The Authorization header has each part once, in any order, with names in lower case and sorted and
//     a signature in lower case: there is one way to write it but for the order of its parts and the
//     blanks around its commas. SigV4a (AWS4-ECDSA-P256-SHA256) is refused.
//   - Scopes accept only the services and regions of Rules; no rule accepts all.
//
// # Not promised
//
//   - A request can be replayed within the five minutes, as with AWS. Requests are not remembered; RetryID tells a server
//     what a copy is a copy of.
//   - A signature does not tell apart the order of equal names in a query, or a list in one header and
//     in several. A server must not either where it matters.
//   - The access key id is not itself signed: it is what the secret is looked up by. Two ids must not
//     have one secret.
//   - The security token is returned as it came. Whether it belongs to the access key is for the caller.
//   - SignedHeaders with the name ":authority", and headers that net/http takes away (Transfer-Encoding,
//     Trailer), do not verify. No AWS client signs them.
//
// # The invariant that would hurt
//
// Parse, Verify and the handler must see the same Request: the raw path and query as they arrived and
// the whole body. A body that is read again, a path that is cleaned before, or a header that is set
// between them is not what was signed.
package sigv4
