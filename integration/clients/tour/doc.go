// Package tour has tests only: boto3 and the AWS CLI, in whatever versions this machine has, ask a cluster for everything they
// know of KMS, IAM and STS. What a newer release of theirs knows and no step asks for fails a test.
package tour
