package storage

import "errors"

// ErrLocked is returned when another process holds the data directory.
var ErrLocked = errors.New("the data directory is in use")

// Dir is an open, locked data directory.
type Dir struct{ path, nodeID, clusterID string }

// Open opens or creates the data directory dir, mode 0700, and locks it.
func Open(dir string) (*Dir, error) { return nil, ErrLocked }

// Path returns the directory.
func (d *Dir) Path() string { return d.path }

// RaftDir returns the directory for OpenLog and OpenSnapshots.
func (d *Dir) RaftDir() string { return d.path + "/raft" }

// NodeID returns the random incarnation of this node, 32 hex digits.
func (d *Dir) NodeID() string { return d.nodeID }

// ClusterID returns the cluster id, hex, or "" before SetClusterID.
func (d *Dir) ClusterID() string { return d.clusterID }

// SetClusterID binds the directory to a cluster durably; another id later is refused.
func (d *Dir) SetClusterID(id string) error { d.clusterID = id; return nil }

// Close releases the lock.
func (d *Dir) Close() error { return nil }
