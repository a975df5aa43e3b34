// Package policy is the access policy language of AWS IAM and KMS: a compiler that finds every
// mistake at its line and column, and a pure evaluator that decides on a request and says which
// statement decided.
//
// It promises that an explicit deny in any policy wins, that nothing is allowed without a statement
// or a grant that allows it, and that a policy it cannot read denies. It does not know which
// principals, actions or keys exist, and it keeps no state.
//
// The invariant that would hurt: text that comes from a request or an identity is never read as a
// pattern. Wildcards and variables are those that Parse found in the document.
package policy
