#!/usr/bin/env bash
# A router and three subgraphs, one of them gRPC, every hop of them mTLS with certificates of a local authority. Prints where its files and
# itself are as NAME=value lines, then `ready`; SIGTERM ends everything.
#
#   examples/router/run.sh
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
node "$root/scripts/ensure-installed.cjs" >&2
export PATH="$root/node_modules/.bin:$PATH"

STATE=$(mktemp -d "${TMPDIR:-/tmp}/countersign-router.XXXXXX")
export STATE USERS_PORT ORDERS_PORT SHIPPING_PORT
children=()
end() {
  trap - EXIT TERM INT
  for child in "${children[@]}"; do kill -TERM "$child" 2>/dev/null || true; done
  wait || true
  rm -rf "$STATE"
}
trap end EXIT
trap 'exit 0' TERM INT

# Starts a long-running command; what it says after `ready` is the answer.
start() {
  local name=$1
  shift
  mkfifo "$STATE/$name.out"
  node "$@" >"$STATE/$name.out" &
  children+=($!)
  read -r _ said <"$STATE/$name.out" || { echo "$name did not start" >&2 && exit 1; }
}

# 1. identities: the first command makes the authority
for service in users orders shipping web; do
  USERS_PORT=1 ORDERS_PORT=1 SHIPPING_PORT=1 node "$root/apps/cli/bin/countersign.js" router issue-svid \
    --config "$here/router.yaml" --service "$service" --out "$STATE/$service" >&2
done

# 2. three subgraphs that accept certificates of its bundle alone
start users-graph "$here/subgraph.mjs" users "$STATE/users"
USERS_PORT=$said
start orders-graph "$here/subgraph.mjs" orders "$STATE/orders"
ORDERS_PORT=$said
start shipping "$here/shipping.mjs" "$STATE/shipping"
SHIPPING_PORT=$said

# 3. the router
start router "$root/apps/cli/bin/countersign.js" router --config "$here/router.yaml"

cat <<EOF
ROUTER_URL=$said
CLIENT_IDENTITY=$STATE/web
Try: curl --cert $STATE/web/chain.pem --key $STATE/web/key.pem --cacert $STATE/bundle.pem $said/graphql -H 'content-type: application/json' -d '{"query":"{ me { name email orders { total status } } }"}'
ready
EOF
wait
