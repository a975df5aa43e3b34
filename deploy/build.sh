#!/usr/bin/env bash
# Compiles the static binary with the host's Go and lays out the image's root folder in dist/.
# The image itself is FROM scratch, so building it pulls nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p dist/rootfs/var/lib/lockstep dist/rootfs/var/log/lockstep dist/rootfs/tmp
version=${LOCKSTEP_VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo unknown)}
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o dist/lockstep ./cmd/lockstep
cp dist/lockstep dist/rootfs/lockstep
echo "built dist/lockstep ($version)"
