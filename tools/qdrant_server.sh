#!/usr/bin/env bash
# A server with Qdrant's gRPC interface for tests, out of Qdrant's own packages on PyPI: see `tools/qdrant_server.py`. They are
# kept in a folder of their own; the server is started on a free port and stopped with the command that it was started for.
#
#   tools/qdrant_server.sh fetch DIR
#   tools/qdrant_server.sh run DIR cargo test --release --workspace --features hub,postgres,qdrant --test collections
#
# The command finds the address in SLM_QDRANT. Needs Python 3.10 or newer with pip.
set -euo pipefail
task="$1" folder="$2"
shift 2
tools="$(cd "$(dirname "$0")" && pwd)"

# It is there whole or not at all.
fetch() {
  [ -d "$folder/qdrant_edge" ] && return
  rm -rf "$folder.tmp"
  python3 -m pip install --quiet --target "$folder.tmp" qdrant-client==1.20.0 qdrant-edge-py==0.9.0 grpcio==1.85.3 protobuf==7.36.2
  mkdir -p "$folder" && rm -rf "$folder" && mv "$folder.tmp" "$folder"
}

run() {
  place="$(mktemp -d)"
  PYTHONPATH="$folder" python3 "$tools/qdrant_server.py" "$place/address" &
  server=$!
  trap 'kill "$server" 2>/dev/null; rm -rf "$place"' EXIT
  for _ in $(seq 300); do
    [ -e "$place/address" ] && break
    kill -0 "$server" 2>/dev/null || { echo "the server did not start" >&2; exit 1; }
    sleep 0.1
  done
  SLM_QDRANT="$(cat "$place/address")" "$@"
}

case "$task" in
fetch) fetch ;;
run) run "$@" ;;
*) echo "fetch or run, not $task" >&2 && exit 2 ;;
esac
