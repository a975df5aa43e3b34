// Package lab is what the measuring programs share: building and starting programs, a cluster of
// 'lockstep dev', a cheap closed-loop load generator, readings of /proc and of the disk, and figures.
//
// It promises that what it started has ended when Close returns, and that a failed request is
// counted, never dropped. The invariant that would hurt: nothing here makes a measured server look
// faster; a latency runs from the first byte sent to the last byte of the answer.
package lab

const module = "github.com/lockstep-kms/lockstep"
