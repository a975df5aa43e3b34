// Package awskms is the door for clients of AWS KMS: AWS JSON 1.1 over POST /, the operation named by the
// header X-Amz-Target (TrentService.Encrypt). It turns AWS's shapes into requests of the service and its answers
// into AWS's shapes, as service model 2014-11-01 and
// https://docs.aws.amazon.com/kms/latest/APIReference/ have them.
//
// It promises the member names, types, constraints, error names and HTTP statuses of AWS KMS; docs/aws-compatibility.md
// lists what differs. It decides nothing: identity, rights and state are the service's. The invariant that would hurt: a
// member that this release does not know is refused, not left out, since leaving it out could do more than was asked for.
package awskms
