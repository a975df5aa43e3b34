// Package awsquery is the door for AWS's query protocol: STS (2011-06-15) and IAM (2010-05-08), form-encoded on POST / and answered
// in XML, over the same service as the REST door. It promises that SDKs, the AWS CLI and infrastructure tools work unchanged with
// what the service has: the shapes, statuses and error codes are AWS's. It does not serve what the product does not have; the
// operation table in this package is what there is. The invariant that would hurt: no operation is reached but through the
// service, which authenticates, authorizes and records it, and what the door does not understand of a request it refuses, so that
// no limit a caller asks for is lost on the way.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/ and https://docs.aws.amazon.com/STS/latest/APIReference/
package awsquery
