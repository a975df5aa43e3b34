// Package audit renders one JSON line for each call, with CloudTrail's field names, and sees to it
// that enough sinks took the line before the answer leaves.
//
// It promises that Log.Append returns nil only when as many sinks as required have the record; that
// every line is valid JSON without a newline in it, whatever bytes a caller sent; that a sink which
// fails or hangs is told within its deadline and is used again by itself once it works.
//
// It does not promise the opposite direction: a record whose Append failed may be in a sink all the
// same, and may stand there for an answer that never left. What a sink holds is readable by design.
// Which parameters of an operation are recorded is decided by kms/service; plaintext, ciphertext,
// secrets and shares never are.
//
// What a sink has, by fault:
//
//	fault                              in the file           Append
//	write or sync fails                none, some or all     error, to every waiter of the batch
//	write is short                     a torn line           error; the next batch begins a new line
//	write hangs beyond the deadline    unknown               error, at the deadline; later at once
//	the hung write ends well           all                   (the error has left already)
//	process dies                       a prefix              the answer has not left
//	power fails, durability write      a prefix              records of answers that left may be lost
//	file moved, deleted or replaced    all, in the new one   nil; error while the path cannot be opened
//
// The invariant that would hurt: nothing leaves unaudited.
package audit
