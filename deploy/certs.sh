#!/usr/bin/env bash
# Makes the certificates of the compose cluster in ./certs: a CA, and for each node one certificate
# for the other nodes and one for the API. Existing files are kept.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077
mkdir -p certs
lockstep=dist/lockstep
[ -e certs/ca.pem ] || "$lockstep" cert ca --out certs
for node in node-0 node-1 node-2; do
  [ -e "certs/$node.pem" ] || "$lockstep" cert node "$node" --host "$node" --ca certs --out certs
  [ -e "certs/$node-api.pem" ] || "$lockstep" cert server "$node-api" --host "$node" --host localhost --host 127.0.0.1 --ca certs --out certs
done
# The containers run with your group and without your user: nodes' keys are readable for the group,
# the CA's key for nobody else.
chmod 0750 certs
chmod 0644 certs/ca.pem certs/node-?.pem certs/node-?-api.pem
chmod 0640 certs/node-?-key.pem certs/node-?-api-key.pem
