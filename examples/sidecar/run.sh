#!/usr/bin/env bash
# Two plain programs and a sidecar beside each: the call between them is mTLS, and neither program knows. Prints where they are
# as NAME=value lines, then `ready`; SIGTERM ends everything.
#
#   examples/sidecar/run.sh
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
node "$root/scripts/ensure-installed.cjs" >&2
export PATH="$root/node_modules/.bin:$PATH"

STATE=$(mktemp -d "${TMPDIR:-/tmp}/countersign-sidecar.XXXXXX")
children=()
end() {
  trap - EXIT TERM INT
  for child in "${children[@]}"; do kill -TERM "$child" 2>/dev/null || true; done
  wait || true
  rm -rf "$STATE"
}
trap end EXIT
trap 'exit 0' TERM INT

countersign() { node "$root/apps/cli/bin/countersign.js" "$@"; }

# Starts a long-running program; what it says after `ready` is the answer.
start() {
  local name=$1
  shift
  mkfifo "$STATE/$name.out"
  node "$@" >"$STATE/$name.out" &
  children+=($!)
  read -r _ said <"$STATE/$name.out" || { echo "$name did not start" >&2 && exit 1; }
}

# 1. an authority, and an identity for each sidecar
countersign init --config "$here/ca.yaml" --data "$STATE/state" >&2
start ca "$root/apps/cli/bin/countersign.js" ca serve --config "$here/ca.yaml" --data "$STATE/state" --port 0
CA=$said
for name in shop orders; do
  countersign issue --data "$STATE/state" --spiffe-id "spiffe://example.com/$name" --out "$STATE/$name" >&2
done

# 2. orders: a plain program, and the sidecar before its port
start orders-app "$here/orders.mjs"
ORDERS_APP=$said
sed "s/ORDERS_APP/$ORDERS_APP/" "$here/orders.yaml" >"$STATE/orders.yaml"
cp "$here/policies.yaml" "$STATE/policies.yaml"
sidecar() { start "$1" "$root/apps/cli/bin/countersign.js" sidecar --config "$STATE/$1.yaml" --identity "$STATE/$1" --ca "$CA" --data "$STATE/$1-data"; }
sidecar orders
ORDERS_SIDECAR=${said##*:}

# 3. shop: the sidecar for its calls, and a plain program that calls a port of its own machine
sed "s/ORDERS_SIDECAR/$ORDERS_SIDECAR/" "$here/shop.yaml" >"$STATE/shop.yaml"
sidecar shop
WAY_OUT=${said##*:}
start shop-app "$here/shop.mjs" "http://127.0.0.1:$WAY_OUT"

cat <<EOF
SHOP_URL=http://127.0.0.1:$said
ORDERS_SIDECAR=127.0.0.1:$ORDERS_SIDECAR
Try: curl http://127.0.0.1:$said/
ready
EOF
wait
