export REQUESTS_CA_BUNDLE=$ACME_CA
cat >"$T/hook.sh" <<'END'
#!/bin/sh
text="{\"host\":\"_acme-challenge.$CERTBOT_DOMAIN.\",\"value\":\"$CERTBOT_VALIDATION\"}"
curl -sf -d "$text" http://localhost:8055/set-txt
END
chmod +x "$T/hook.sh"
certbot() {
  local verb=$1
  shift
  quiet command certbot "$verb" --config-dir "$T/certbot" --work-dir "$T/work" --logs-dir "$T/logs" \
    --server "$ACME_DIR" --non-interactive "$@"
}
certbot register --agree-tos -m ops@example.test
certbot certonly --standalone --http-01-port 5002 -d certbot.test
byDns="--manual --preferred-challenges dns --manual-auth-hook $T/hook.sh"
certbot certonly $byDns -d '*.wild.test'
certbot renew --force-renewal --no-random-sleep-on-renew --cert-name certbot.test
live=$T/certbot/live/certbot.test/cert.pem
certbot revoke --cert-path "$live" --reason superseded --no-delete-after-revoke
certbot update_account -m other@example.test
certbot unregister
