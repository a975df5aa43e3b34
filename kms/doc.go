// Package kms is Lockstep's domain vocabulary: keys, aliases, accounts, their states, the one error
// type and the one operation table. Names and spellings are those of AWS KMS
// (https://docs.aws.amazon.com/kms/latest/APIReference/).
//
// The package decides nothing about storage, network or identity and imports nothing else of this
// module. Every function in it is pure.
//
// The invariant that would hurt: an Operation that is not in Operations does not exist. Doors,
// command line, audit and the OpenAPI document are all checked against that table.
package kms
