"""What PyPI's hvac does with Vault's PKI API: set-up, roles, certificates, tokens, AppRole. Prints one line a call."""

import os
import sys

import hvac

client = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"], verify=os.environ.get("VAULT_CACERT", True))
pki = client.secrets.pki
done = 0


def step(name, value=None, expect=None):
    global done
    if expect is not None and not expect:
        sys.exit(f"{name}: unexpected answer {value!r}")
    done += 1
    print(f"ok {done} {name}")
    return value


def refused(name, kind, call):
    global done
    try:
        call()
    except kind as thrown:
        done += 1
        print(f"ok {done} {name}: {thrown.errors if hasattr(thrown, 'errors') else thrown}")
        return
    sys.exit(f"{name}: was not refused")


step("is_authenticated", expect=client.is_authenticated())
step("is_initialized", expect=client.sys.is_initialized())
step("is_sealed", expect=not client.sys.is_sealed())
step("read_health_status", expect=client.sys.read_health_status(method="GET")["initialized"])
client.sys.enable_secrets_engine("pki", path="hroot", config={"max_lease_ttl": "2160h"})
step("enable_secrets_engine")
client.sys.tune_mount_configuration("hroot", max_lease_ttl="2100h")
step("tune_mount_configuration")
step("read_mount_configuration", expect=client.sys.read_mount_configuration("hroot")["data"]["max_lease_ttl"] == 2100 * 3600)
mounts = client.sys.list_mounted_secrets_engines()
step("list_mounted_secrets_engines", expect=mounts["data"]["hroot/"]["type"] == "pki")
pki.set_urls({"issuing_certificates": ["http://ca.example.test/ca"], "crl_distribution_points": ["http://ca.example.test/crl"]}, mount_point="hroot")
step("set_urls")
step("read_urls", expect=pki.read_urls(mount_point="hroot")["data"]["issuing_certificates"] == ["http://ca.example.test/ca"])
root = pki.generate_root("internal", "Root", extra_params={"ttl": "2000h", "key_type": "ec"}, mount_point="hroot")
step("generate_root", expect="BEGIN CERTIFICATE" in root["data"]["certificate"])
client.sys.enable_secrets_engine("pki", path="hint")
request = pki.generate_intermediate("internal", "Intermediate", extra_params={"key_type": "ec"}, mount_point="hint")
step("generate_intermediate", expect="BEGIN CERTIFICATE REQUEST" in request["data"]["csr"])
signed = pki.sign_intermediate(request["data"]["csr"], "Intermediate", extra_params={"ttl": "1900h", "format": "pem_bundle"}, mount_point="hroot")
step("sign_intermediate", expect=signed["data"]["serial_number"])
pki.set_signed_intermediate(signed["data"]["certificate"], mount_point="hint")
step("set_signed_intermediate")
pki.create_or_update_role("web", {"allowed_domains": "example.test", "allow_subdomains": "true", "max_ttl": "24h", "key_type": "ec"}, mount_point="hint")
step("create_or_update_role")
step("read_role", expect=pki.read_role("web", mount_point="hint")["data"]["max_ttl"] == 86400)
step("list_roles", expect=pki.list_roles(mount_point="hint")["data"]["keys"] == ["web"])
made = pki.generate_certificate("web", "a.example.test", {"ttl": "1h"}, mount_point="hint")["data"]
step("generate_certificate", expect="PRIVATE KEY" in made["private_key"])
with open(os.environ["CSR"]) as file:
    csr = file.read()
step("sign_certificate", expect=pki.sign_certificate("web", csr, "web.example.test", mount_point="hint")["data"]["serial_number"])
step("sign_verbatim", expect=pki.sign_verbatim(csr, mount_point="hint")["data"]["serial_number"])
step("read_certificate", expect="BEGIN" in pki.read_certificate(made["serial_number"], mount_point="hint")["data"]["certificate"])
step("list_certificates", expect=made["serial_number"] in pki.list_certificates(mount_point="hint")["data"]["keys"])
step("read_ca_certificate", expect=pki.read_ca_certificate(mount_point="hint").startswith("-----BEGIN CERTIFICATE"))
step("read_ca_certificate_chain", expect=pki.read_ca_certificate_chain(mount_point="hint").count("BEGIN CERTIFICATE") == 2)
step("read_crl", expect=pki.read_crl(mount_point="hint").startswith("-----BEGIN X509 CRL"))
step("rotate_crl", expect=pki.rotate_crl(mount_point="hint")["data"]["success"])
step("revoke_certificate", expect=pki.revoke_certificate(made["serial_number"], mount_point="hint")["data"]["revocation_time"])
step("tidy", expect=pki.tidy({"tidy_cert_store": True}, mount_point="hint"))
step("list_issuers", expect=len(pki.list_issuers(mount_point="hint")["data"]["keys"]) == 2)
step("read_issuer", expect=pki.read_issuer("default", mount_point="hint")["data"]["certificate"])
pki.update_issuer("default", {"issuer_name": "main"}, mount_point="hint")
step("update_issuer", expect=pki.read_issuer("main", mount_point="hint")["data"]["issuer_name"] == "main")
refused("a name that the role does not allow", hvac.exceptions.InvalidRequest, lambda: pki.generate_certificate("web", "evil.invalid", mount_point="hint"))
refused("no role", hvac.exceptions.InvalidPath, lambda: pki.read_role("none", mount_point="hint"))
refused("no token", hvac.exceptions.Forbidden, lambda: hvac.Client(url=os.environ["VAULT_ADDR"], token="nope", verify=os.environ.get("VAULT_CACERT", True)).secrets.pki.list_roles(mount_point="hint"))

client.sys.create_or_update_policy("hvac", 'path "hint/sign/web" { capabilities = ["update"] }\npath "hint/issue/web" { capabilities = ["create", "update"] }')
step("create_or_update_policy")
step("read_policy", expect="hint/sign/web" in client.sys.read_policy("hvac")["data"]["rules"])
step("list_policies", expect="hvac" in client.sys.list_policies()["data"]["policies"])
token = client.auth.token.create(policies=["hvac"], ttl="1h")
step("token.create", expect=token["auth"]["client_token"])
client.sys.enable_auth_method("approle", path="hvac-approle")
step("enable_auth_method")
step("list_auth_methods", expect="hvac-approle/" in client.sys.list_auth_methods()["data"])
approle = client.auth.approle
approle.create_or_update_approle("ci", token_policies=["hvac"], token_ttl="20m", mount_point="hvac-approle")
step("create_or_update_approle")
role_id = approle.read_role_id("ci", mount_point="hvac-approle")["data"]["role_id"]
secret_id = approle.generate_secret_id("ci", mount_point="hvac-approle")["data"]["secret_id"]
step("generate_secret_id", expect=secret_id)
worker = hvac.Client(url=os.environ["VAULT_ADDR"], verify=os.environ.get("VAULT_CACERT", True))
worker.auth.approle.login(role_id, secret_id, mount_point="hvac-approle")
step("approle.login", expect=worker.is_authenticated())
step("lookup_self", expect=worker.auth.token.lookup_self()["data"]["policies"] == ["default", "hvac"])
step("renew_self", expect=worker.auth.token.renew_self(increment="30m")["auth"]["renewable"])
step("what its policy lets", expect=worker.secrets.pki.generate_certificate("web", "ci.example.test", mount_point="hint")["data"]["private_key"])
refused("what its policy does not let", hvac.exceptions.Forbidden, lambda: worker.secrets.pki.list_roles(mount_point="hint"))
worker.auth.token.revoke_self()
step("revoke_self", expect=not worker.is_authenticated())
pki.delete_role("web", mount_point="hint")
step("delete_role")
approle.delete_role("ci", mount_point="hvac-approle")
client.sys.disable_auth_method("hvac-approle")
step("disable_auth_method")
pki.delete_root(mount_point="hroot")
step("delete_root")
client.sys.disable_secrets_engine("hint")
client.sys.disable_secrets_engine("hroot")
step("disable_secrets_engine")
print(f"{done} calls")
