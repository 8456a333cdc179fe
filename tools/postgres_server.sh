#!/usr/bin/env bash
# A PostgreSQL server with pgvector for tests: fetched from PyPI (`pgserver`, PostgreSQL 16 and pgvector 0.6), kept in a folder
# of its own, started on a socket in a temporary folder, and stopped with the command that it was started for.
#
#   tools/postgres_server.sh fetch DIR
#   tools/postgres_server.sh run DIR cargo test --release --workspace --features hub,postgres,qdrant --test collections
#
# The command finds the address in SLM_POSTGRES. Needs pip; started as root, the server runs as `nobody`.
set -euo pipefail
task="$1" folder="$2"
shift 2
bin="$folder/pgserver/pginstall/bin"

fetch() {
  [ -x "$bin/postgres" ] && return
  python3 -m pip install --quiet --no-deps --target "$folder" pgserver==0.1.4
  [ -x "$bin/postgres" ]
}

run() {
  place="$(mktemp -d)"
  as=()
  if [ "$(id -u)" = 0 ]; then
    # The server refuses to run as root, and `nobody` must reach its files.
    as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
    cp -r "$folder"/pgserver "$folder"/pgserver.libs "$place"
    chown -R nobody:nogroup "$place"
    bin="$place/pgserver/pginstall/bin"
  fi
  (cd "$place" && "${as[@]}" "$bin/initdb" --no-sync --auth=trust --username=slm --encoding=UTF8 --locale=C \
    --pgdata="$place/data" >/dev/null)
  (cd "$place" && "${as[@]}" "$bin/pg_ctl" --pgdata="$place/data" --log="$place/data/log" --wait \
    --options="-k $place -c listen_addresses= -c fsync=off" start >/dev/null) || { cat "$place/data/log" >&2; exit 1; }
  trap '(cd "$place" && "${as[@]}" "$bin/pg_ctl" --pgdata="$place/data" --mode=immediate stop >/dev/null); rm -rf "$place"' EXIT
  SLM_POSTGRES="host=$place user=slm dbname=postgres" "$@"
}

case "$task" in
fetch) fetch ;;
run) run "$@" ;;
*) echo "fetch or run, not $task" >&2 && exit 2 ;;
esac
