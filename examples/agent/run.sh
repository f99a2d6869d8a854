#!/usr/bin/env bash
# An authority, and an agent that gives the processes of whoever runs this two identities, over the SPIFFE Workload API and
# Envoy's SDS. Prints where they are as NAME=value lines, then `ready`; SIGTERM ends everything.
#
#   examples/agent/run.sh [TTL]
#
# TTL is the lifetime of the workloads' certificates, 1h unless given: with 10s there is a rotation every five seconds.
set -euo pipefail

ttl=${1:-1h}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
node "$root/scripts/ensure-installed.cjs" >&2
export PATH="$root/node_modules/.bin:$PATH"

dir=$(mktemp -d "${TMPDIR:-/tmp}/countersign-agent.XXXXXX")
children=()
end() {
  trap - EXIT TERM INT
  for child in "${children[@]}"; do kill -TERM "$child" 2>/dev/null || true; done
  wait || true
  rm -rf "$dir"
}
trap end EXIT
trap 'exit 0' TERM INT

# Starts a long-running command; what it says after `ready` is the answer.
start() {
  local name=$1
  shift
  mkfifo "$dir/$name.out"
  node "$root/apps/cli/bin/countersign.js" "$@" >"$dir/$name.out" &
  children+=($!)
  local word
  read -r word said <"$dir/$name.out" || { echo "$name did not start" >&2 && exit 1; }
}
countersign() { node "$root/apps/cli/bin/countersign.js" "$@"; }

# 1. two authorities: ours, and one of a foreign trust domain that serves its bundle
for name in ca federated-ca; do
  countersign init --config "$here/$name.yaml" --data "$dir/$name" >/dev/null
done
start federated-ca ca serve --config "$here/federated-ca.yaml" --data "$dir/federated-ca" --port 0
federated=$said
start ca ca serve --config "$here/ca.yaml" --data "$dir/ca" --port 0
ca=$said

# 2. the agent: its own identity by a token, in memory alone; entries for the processes of this user
countersign token create --data "$dir/ca" --spiffe-id spiffe://example.org/agent >"$dir/token"
uid=$(id -u)
cat >"$dir/agent.yaml" <<EOF
agent: { socket: agent.sock, ca: "$ca" }
entries:
  - spiffe_id: spiffe://example.org/myservice
    hint: myservice
    selectors: ["unix:uid:$uid"]
    ttl: $ttl
    federates_with: [example-federated.org]
  - spiffe_id: spiffe://example.org/myservice2
    hint: myservice2
    selectors: ["unix:uid:$uid"]
    ttl: $ttl
    federates_with: [example-federated.org]
federation:
  - trust_domain: example-federated.org
    bundle_file: federated-ca/root.pem
    bundle_endpoint:
      url: $federated/v1/bundle
      profile: https_spiffe
      endpoint_spiffe_id: spiffe://example-federated.org/countersign/ca
EOF
start agent agent --config "$dir/agent.yaml" --token "@$dir/token"
rm -f "$dir/token"

# 3. where they are
echo "SPIFFE_ENDPOINT_SOCKET=$said"
echo "SDS_SOCK=${said#unix://}"
echo "CA_URL=$ca"
echo "ready $said"

# 4. until somebody ends it, or one of them ends by itself
wait -n
exit 1
