// Package audit is a node's audit trail: it renders one JSON line for each call, with CloudTrail's field names, chains the
// lines with hashes, and sees to it that enough sinks took a line before the answer leaves.
//
// It promises that Log.Append returns nil only when as many sinks as required have the record, or when it was one of the
// refusals that are counted (see fold); that every line is valid JSON without a newline in it, whatever bytes a caller sent;
// that all sinks get the same lines in the same order, and what a sink missed is explained by the first record that it takes
// again; that a sink which fails or hangs is told within the timeout, holds nobody up who does not need it, and is used again by
// itself once it works.
//
// It does not promise the opposite direction: a record whose Append failed may be in a sink all the
// same, and may stand there for an answer that never left. Of what was done in spite of it, Later writes the record once it can. What a sink holds is readable by design.
// Which parameters of an operation are recorded is decided by kms/service; plaintext, ciphertext,
// secrets and shares never are.
//
// What a file has, by fault, when its sink is needed; otherwise Append returns nil and the file has a gap that is explained:
//
//	fault                              in the file             Append
//	write or sync fails                none, some or all       error, to every waiter of the batch
//	write is short                     a torn line             error; the next batch begins a new line
//	write hangs beyond the timeout     unknown                 error, at the timeout; later at once
//	the hung write ends well           all                     (the error has left already)
//	write is slow                      all, later              nil, as late as the write
//	rotation or removal fails          all, the same one       nil; told in Stats, tried again later
//	process dies                       a prefix, a torn line   the answer has not left; counts of a second, and what Later keeps, are lost
//	power fails, durability write      a prefix                records of answers that left may be lost
//	file moved, deleted or replaced    all, in the new one     nil; error while the path cannot be opened
//
// The invariant that would hurt: nothing leaves unaudited.
//
// DESIGN.md has the decisions and the formats.
package audit
