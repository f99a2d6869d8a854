#!/usr/bin/env bash
# An authority with every door of ca.yaml open on loopback, and one of each credential. Prints where the doors are and what
# opens them as NAME=value lines that a shell can read, then `ready`; SIGTERM ends everything.
#
#   examples/doors/run.sh [PORT]
#
# PORT is the API's, any free one unless given. ACME validates names by the resolver at 127.0.0.1:8053, http-01 on port 5002,
# tls-alpn-01 on 5001: those are for whoever tries it out to serve.
set -euo pipefail

port=${1:-0}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
node "$root/scripts/ensure-installed.cjs" >&2
export PATH="$root/node_modules/.bin:$PATH"

dir=$(mktemp -d "${TMPDIR:-/tmp}/countersign-doors.XXXXXX")
authority=
end() {
  trap - EXIT TERM INT
  if [ -n "$authority" ]; then
    kill -TERM "$authority" 2>/dev/null || true
    wait "$authority" || true
  fi
  rm -rf "$dir"
}
trap end EXIT
trap 'exit 0' TERM INT
countersign() { node "$root/apps/cli/bin/countersign.js" "$@"; }

# 1. what ca.yaml names: a key for ACME accounts, a password, the token that makes the others
umask 077
random() { node -p "crypto.randomBytes($1).toString('base64url')"; }
eab=$(random 32)
token=$(random 24)
printf %s "$eab" >"$dir/shop.eab"
printf %s "$token" >"$dir/ops.token"
password=$(countersign est password --out "$dir/line-3.scrypt")

# 2. the authority; where lists and OCSP will be is in its certificates from the first on
free='const s = net.createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
sed -e "s|DIR|$dir|" -e "s|8480|$(node -e "$free")|g" "$here/ca.yaml" >"$dir/ca.yaml"
countersign init --config "$dir/ca.yaml" --data "$dir/state" >/dev/null
node "$here/cross-root.ts" "$dir"
mkfifo "$dir/authority.out"
node "$root/apps/cli/bin/countersign.js" ca serve --config "$dir/ca.yaml" --data "$dir/state" --port "$port" \
  >"$dir/authority.out" &
authority=$!
read -r word url published <"$dir/authority.out" || { echo "the authority did not start" >&2 && exit 1; }
host=localhost:${url##*:}
roots=$dir/state/root.pem
# who takes the other chain needs the other root
cat "$roots" "$dir/cross-root.pem" >"$dir/roots.pem"

# 3. where the doors are, and what opens them
cat <<END
ACME_DIR=https://$host/acme/directory
ACME_CA=$roots
ROOTS=$dir/roots.pem
EAB_KID=shop
EAB_HMAC=$eab
EST=$host
EST_CA=$roots
EST_ROOTS=$roots
EST_USER=line-3
EST_PASS=$password
VAULT_ADDR=https://$host
VAULT_TOKEN=$token
VAULT_CACERT=$roots
VAULT_SIGN_PATH=pki/sign/web
END
NODE_EXTRA_CA_CERTS=$roots VAULT_ADDR=https://$host VAULT_TOKEN=$token node "$here/vault-credentials.ts" "$dir"
published_as() {
  node -e 'fetch(process.argv[1]).then((answer) => answer.json()).then(({ ocsp, issuers }) => {
    const { lists } = issuers.find(({ name }) => name === "services");
    console.log(`OCSP_URL=${ocsp}\nCRL_URL=${lists[0].url}`);
  })' "$1/"
}
published_as "$published"
echo "ready $url"

# 4. until somebody ends it, or it ends by itself
wait "$authority"
exit 1
