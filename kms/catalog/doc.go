// Package catalog is the opened view of the replicated state: while a node is unsealed, the records
// of its state machine, decrypted, ordered and indexed, as a sequence of immutable Views.
//
// Keys are ordered by id, and those that the scheduler has to look at by time; aliases by name and by key;
// grants by key, by key and grantee, and by who may retire them. Usage records are opened when asked for. What
// this node notes of a key's use itself, in memory and not in a View, is kept for whoever writes those records.
//
// It promises that a View holds exactly what the records held at its index, that publishing a change
// costs O(changes x log n) whatever the number of keys, that a look-up of a key in use costs the same at
// any number of keys, that key material stays sealed until its first use and is wiped before a View is
// published whose records no longer hold it, and that a record which does not open makes the one object
// it describes unavailable, with an alarm in the log and nothing worse. Sealing closes the gate first,
// lets those who hold the view finish, and wipes then.
//
// It promises no freshness: a View is as old as what this node has applied. And it decides nothing:
// who may see what is for kms/service.
//
// The invariant that would hurt: one goroutine changes the working trees, and what a published View
// refers to is never changed again.
package catalog
