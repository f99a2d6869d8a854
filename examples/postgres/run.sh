#!/usr/bin/env bash
# An authority whose ledger is in PostgreSQL: in the one that DATABASE_URL names, or else in one of its own, from the
# binaries that npm's embedded-postgres brings. Standard output has the `ready` line alone; SIGTERM ends everything.
#
#   examples/postgres/run.sh [DIR] [options of `countersign ca serve`]
#
# DIR keeps database and state, and is used again when it has them; without it a temporary one goes away at the end.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
say() { echo "$*" >&2; }
node "$root/scripts/ensure-installed.cjs" >&2
export PATH="$root/node_modules/.bin:$PATH"

temporary=
case ${1:-} in
  '' | -*) dir=$(mktemp -d "${TMPDIR:-/tmp}/countersign-postgres.XXXXXX") && temporary=$dir ;;
  *) mkdir -p "$1" && dir=$(cd "$1" && pwd) && shift ;;
esac
# PostgreSQL refuses to run as root: then it is nobody's, who has to get to its directory. The state stays closed to others.
if [ "$(id -u)" = 0 ]; then chmod 711 "$dir"; else chmod 700 "$dir"; fi

authority=
database=
end() {
  trap - EXIT TERM INT
  for child in $authority $database; do
    kill -TERM "$child" 2>/dev/null || true
    wait "$child" || true
  done
  if [ -n "$temporary" ]; then rm -rf "$temporary"; fi
}
trap end EXIT
trap 'exit 0' TERM INT
# In the background, since bash hears no signal while it waits for a command in front.
countersign() {
  node "$root/apps/cli/bin/countersign.js" "$@" &
  authority=$!
  wait "$authority"
  authority=
}

# 1. the database
if [ -z "${DATABASE_URL:-}" ]; then
  rm -f "$dir/database.url"
  # Its standard input is this shell's end of a pipe: it ends when the shell does, however that goes.
  exec 3> >(exec node "$here/database.ts" "$dir/database" >"$dir/database.url")
  database=$!
  for _ in $(seq 300); do
    if [ -s "$dir/database.url" ]; then break; fi
    if ! kill -0 "$database" 2>/dev/null; then
      say "the database does not start; give another one as DATABASE_URL"
      exit 3
    fi
    sleep 0.1
  done
  DATABASE_URL=$(cat "$dir/database.url")
  export DATABASE_URL
fi

# 2. the authority, its ledger in the database from the first record on
if [ ! -e "$dir/state" ]; then
  countersign init --config "$here/ca.yaml" --data "$dir/state" >&2
fi
say "to try: npx countersign token create --data $dir/state --spiffe-id spiffe://example.com/a --dns a.prod.internal"

# 3. it serves
countersign ca serve --config "$here/ca.yaml" --data "$dir/state" --port 0 "$@"
