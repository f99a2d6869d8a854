#!/usr/bin/env bash
# An authority whose keys are in a token: makes one of SoftHSM2 in a directory of its own, initialises the hierarchy of
# ca.yaml in it, and serves. Standard output has the `ready` line alone; SIGTERM ends everything.
#
#   examples/hsm/run.sh [DIR] [options of `countersign ca serve`]
#
# DIR keeps token and state, and is used again when it has them; without it a temporary one goes away at the end.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
say() { echo "$*" >&2; }

module=${PKCS11_MODULE:-}
for candidate in /usr/lib/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so \
  /usr/local/lib/softhsm/libsofthsm2.so /opt/homebrew/lib/softhsm/libsofthsm2.so; do
  if [ -z "$module" ] && [ -e "$candidate" ]; then module=$candidate; fi
done
if [ -z "$module" ] || ! command -v softhsm2-util >/dev/null; then
  say "SoftHSM2 is not installed (Debian: apt-get install softhsm2), or give its library as PKCS11_MODULE"
  exit 3
fi
node "$root/scripts/ensure-installed.cjs" >&2

temporary=
case ${1:-} in
  '' | -*) dir=$(mktemp -d "${TMPDIR:-/tmp}/countersign-hsm.XXXXXX") && temporary=$dir ;;
  *) mkdir -p "$1" && dir=$(cd "$1" && pwd) && shift ;;
esac
chmod 700 "$dir"

child=
end() {
  trap - EXIT TERM INT
  if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null || true; wait "$child" || true; fi
  if [ -n "$temporary" ]; then rm -rf "$temporary"; fi
}
trap end EXIT
trap 'exit 0' TERM INT
# In the background, since bash hears no signal while it waits for a command in front.
countersign() {
  PATH="$root/node_modules/.bin:$PATH" node "$root/apps/cli/bin/countersign.js" "$@" &
  child=$!
  wait "$child"
  child=
}

# 1. the token, with a PIN that only this user can read
export SOFTHSM2_CONF=$dir/softhsm2.conf
if [ ! -e "$dir/pin" ]; then
  mkdir -p "$dir/tokens"
  printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/tokens" >"$SOFTHSM2_CONF"
  (umask 077 && od -An -tx1 -N12 /dev/urandom | tr -d ' \n' >"$dir/pin")
  softhsm2-util --init-token --free --label countersign --so-pin "$(cat "$dir/pin")" --pin "$(cat "$dir/pin")" >&2
fi

# 2. the hierarchy: keys are made in the token and never leave it
sed -e "s|MODULE|$module|" -e "s|DIR|$dir|" "$here/ca.yaml" >"$dir/ca.yaml"
if [ ! -e "$dir/state" ]; then
  say "making three keys in the token, two of them RSA of 4096 bits"
  countersign init --config "$dir/ca.yaml" --data "$dir/state" >&2
fi
say "to try: SOFTHSM2_CONF=$SOFTHSM2_CONF npx countersign issue --data $dir/state --spiffe-id spiffe://example.com/a --dns a.prod.internal --out a"

# 3. the authority
countersign ca serve --config "$dir/ca.yaml" --data "$dir/state" --port 0 "$@"
