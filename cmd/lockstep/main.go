// Command lockstep is the whole product in one binary: the node, the operator's tools and a client.
// Commands are thin: they read flags, call package server or package client, and print.
package main

import (
	"context"
	"os"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
)

// version is set when a release is built: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func main() {
	os.Exit(run(context.Background(), os.Args[1:], cli.SystemStreams()))
}
