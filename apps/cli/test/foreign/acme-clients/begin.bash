# The authority of examples/doors and pebble-challtestsrv, in a network of their own. $T is a directory; what a client says
# goes to a file, and is shown where it fails.
set -eu
bash "$DOORS" >"$T/doors" 2>"$T/doors.err" &
until grep -qs ^ready "$T/doors"; do
  kill -0 $! 2>/dev/null || { tail -20 "$T/doors.err"; exit 7; }
  sleep 0.1
done
. <(grep = "$T/doors")
"$CHALLTESTSRV" -defaultIPv6 "" ${CHALLTESTSRV_PORTS-} >/dev/null 2>&1 &
until curl -s -o /dev/null http://localhost:8055/; do sleep 0.1; done
quiet() {
  "$@" >"$T/said" 2>&1 && return
  cat "$T/said"
  echo "failed: $*"
  grep -E '"level":"(warn|error)"|refused' "$T/doors.err" | grep -v ERR_ACME_NONCE | tail -5
  exit 1
}
