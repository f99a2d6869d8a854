# Debian's acme.sh: $ACME_SH is its script.
export LE_WORKING_DIR=$T/acme.sh
mkdir -p "$T/acme.sh/dnsapi"
cat >"$T/acme.sh/dnsapi/dns_challtest.sh" <<'END'
dns_challtest_add() { curl -sf -d "{\"host\":\"$1.\",\"value\":\"$2\"}" http://localhost:8055/set-txt; }
dns_challtest_rm() { curl -sf -d "{\"host\":\"$1.\"}" http://localhost:8055/clear-txt; }
END
acme() {
  quiet bash "$ACME_SH" --home "$T/acme.sh" --config-home "$T/acme.sh" --server "$ACME_DIR" \
    --ca-bundle "$ACME_CA" --no-color "$@"
}
acme --register-account -m ops@example.test
acme --issue -d http.sh.test --standalone --httpport 5002
acme --issue -d alpn.sh.test --alpn --tlsport 5001
acme --issue -d '*.dns.sh.test' --dns dns_challtest --dnssleep 1
acme --renew -d http.sh.test --force
acme --revoke -d http.sh.test
acme --deactivate-account
