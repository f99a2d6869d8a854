# lego: $LEGO is its command.
export LEGO_CA_CERTIFICATES=$ACME_CA EXEC_PATH=$T/dns.sh
cat >"$EXEC_PATH" <<'END'
#!/bin/sh
case $1 in
present) curl -sf -d "{\"host\":\"$2\",\"value\":\"$3\"}" http://localhost:8055/set-txt ;;
cleanup) curl -sf -d "{\"host\":\"$2\"}" http://localhost:8055/clear-txt ;;
esac
END
chmod +x "$EXEC_PATH"
lego() {
  quiet command "$LEGO" --server "$ACME_DIR" --accept-tos --email ops@example.test --path "$T/lego" "$@"
}
byHttp="--http --http.port :5002"
lego --domains http.lego.test $byHttp run
lego --domains alpn.lego.test --tls --tls.port :5001 run
lego --domains '*.dns.lego.test' --dns exec --dns.resolvers 127.0.0.1:8053 --dns.disable-cp run
lego --domains http.lego.test $byHttp renew --days 1000 --no-random-sleep
lego --domains http.lego.test revoke
