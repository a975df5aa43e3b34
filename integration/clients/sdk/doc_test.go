// Package sdk shows that aws-sdk-go-v2's KMS client works against a cluster as it works against AWS KMS: every operation,
// every field of the answers, every error that AWS KMS has and this product can give, and what the SDK repeats.
//
// What an answer may hold and what a request may ask is taken from the SDK's own golden documents (the directories
// request_snapshot and response_snapshot of its module), so nobody here decides it. Each call goes to the next of
// three nodes.
package sdk
