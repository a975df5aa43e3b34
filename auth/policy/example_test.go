package policy_test

import (
	"fmt"

	"github.com/lockstep-kms/lockstep/auth/policy"
)

func Example() {
	key, err := policy.Parse(policy.KeyPolicy, `{
  "Version": "2012-10-17",
  "Statement": {
    "Sid": "Enable IAM policies",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
    "Action": "kms:*",
    "Resource": "*"
  }
}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	q := &policy.Query{
		Request: policy.Request{
			Action:   "kms:Encrypt",
			Resource: "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			Caller:   policy.Caller{Kind: policy.User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/alice"},
		},
		ResourceAccount: "111122223333",
		KeyPolicy:       key,
	}
	d := policy.Evaluate(q)
	fmt.Println(d.Allow(), d.Reason)

	q.Caller = policy.Caller{Kind: policy.Root, Account: "111122223333", ARN: "arn:aws:iam::111122223333:root"}
	d = policy.Evaluate(q)
	fmt.Println(d.Allow(), d.Sid())

	_, err = policy.Parse(policy.KeyPolicy, `{"Version": "2012-10-17", "Statement": {"Effect": "allow"}}`)
	fmt.Println(err)
	// Output:
	// false the key policy delegates to the account but no identity policy of the caller allows it
	// true Enable IAM policies
	// line 1, column 51: Effect is "Allow" or "Deny", in this spelling.
}
