export CURL_CA_BUNDLE=$ACME_CA
cat >"$T/hook.sh" <<'END'
#!/bin/sh
[ "$1" = deploy_challenge ] || exit 0
case $BY in
dns-01) curl -sf -d "{\"host\":\"_acme-challenge.$2.\",\"value\":\"$4\"}" http://localhost:8055/set-txt ;;
http-01) curl -sf -d "{\"token\":\"$3\",\"content\":\"$4\"}" http://localhost:8055/add-http01 ;;
esac
END
chmod +x "$T/hook.sh"
mkdir "$T/dehydrated" "$T/wellknown"
dehydrated() {
  cat >"$T/dehydrated.conf" <<END
CA="$ACME_DIR"
BASEDIR="$T/dehydrated"
WELLKNOWN="$T/wellknown"
CHALLENGETYPE=$BY
HOOK="$T/hook.sh"
CONTACT_EMAIL=${EMAIL-ops@example.test}
END
  quiet command dehydrated --config "$T/dehydrated.conf" "$@"
}
export BY=http-01
dehydrated --register --accept-terms
dehydrated --cron --domain dehydrated.test
BY=dns-01 dehydrated --cron --domain '*.dehydrated.test' --alias wild
dehydrated --cron --force --domain dehydrated.test
dehydrated --revoke "$T/dehydrated/certs/dehydrated.test/cert.pem"
EMAIL=other@example.test dehydrated --account
