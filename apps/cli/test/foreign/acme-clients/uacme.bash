cat >"$T/uacme.sh" <<'END'
#!/bin/sh
case $1:$2 in
begin:http-01) curl -sf -d "{\"token\":\"$4\",\"content\":\"$5\"}" http://localhost:8055/add-http01 ;;
begin:dns-01) curl -sf -d "{\"host\":\"_acme-challenge.$3.\",\"value\":\"$5\"}" http://localhost:8055/set-txt ;;
begin:*) exit 1 ;;
esac
END
chmod +x "$T/uacme.sh"
# It trusts the roots of the machine alone: here those are ours.
mount --bind "$ACME_CA" /etc/ssl/certs/ca-certificates.crt
uacme() { quiet command uacme -c "$T/uacme" -a "$ACME_DIR" -y "$@"; }
uacme new ops@example.test
uacme -h "$T/uacme.sh" issue uacme.test
uacme -h "$T/uacme.sh" issue '*.uacme.test'
uacme newkey
# It keeps the certificate before under the second of its making, which must be over.
sleep 2
uacme -h "$T/uacme.sh" -f issue uacme.test
uacme revoke "$T/uacme/uacme.test/cert.pem"
uacme update other@example.test
uacme deactivate
