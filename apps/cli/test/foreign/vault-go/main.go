// What Go's clients of Vault's API do: OpenBao's and HashiCorp's, each the same calls. Prints one line a call.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	vault "github.com/hashicorp/vault/api"
	bao "github.com/openbao/openbao/api/v2"
)

// logical is what both clients have.
type logical struct {
	read, list func(path string) (map[string]any, error)
	write      func(path string, data map[string]any) (map[string]any, error)
	delete     func(path string) error
}

var done int

func must(name string, err error, holds bool) {
	if err != nil || !holds {
		fmt.Fprintf(os.Stderr, "%s: %v (holds: %v)\n", name, err, holds)
		os.Exit(1)
	}
	done++
	fmt.Printf("ok %d %s\n", done, name)
}

func refused(name string, err error, says string) {
	must(name, nil, err != nil && strings.Contains(err.Error(), says))
}

func calls(who string, c logical, csr string) {
	root, inter := who+"-root", who+"-int"
	_, err := c.write("sys/mounts/"+root, map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "2000h"}})
	must("mount", err, true)
	_, err = c.write("sys/mounts/"+inter, map[string]any{"type": "pki"})
	must("mount", err, true)
	_, err = c.write("sys/mounts/"+inter+"/tune", map[string]any{"max_lease_ttl": "1000h"})
	must("tune", err, true)
	mounts, err := c.read("sys/mounts")
	must("mounts", err, mounts[inter+"/"] != nil)
	made, err := c.write(root+"/root/generate/internal", map[string]any{"common_name": "Root", "ttl": "1000h", "key_type": "ec"})
	must("root", err, made["serial_number"] != nil)
	made, err = c.write(inter+"/intermediate/generate/internal", map[string]any{"common_name": "Intermediate", "key_type": "ec"})
	must("request", err, made["csr"] != nil)
	made, err = c.write(root+"/root/sign-intermediate", map[string]any{"csr": made["csr"], "common_name": "Intermediate", "format": "pem_bundle", "ttl": "900h"})
	must("intermediate", err, made["certificate"] != nil)
	_, err = c.write(inter+"/intermediate/set-signed", map[string]any{"certificate": made["certificate"]})
	must("set-signed", err, true)
	_, err = c.write(inter+"/roles/web", map[string]any{"allowed_domains": []string{"example.test"}, "allow_subdomains": true, "key_type": "ec", "max_ttl": "24h"})
	must("role", err, true)
	role, err := c.read(inter + "/roles/web")
	must("read role", err, fmt.Sprint(role["max_ttl"]) == "86400")
	roles, err := c.list(inter + "/roles")
	must("list roles", err, len(roles["keys"].([]any)) == 1)
	issued, err := c.write(inter+"/issue/web", map[string]any{"common_name": "go.example.test", "ttl": "1h"})
	must("issue", err, issued["private_key_type"] == "ec" && len(issued["ca_chain"].([]any)) == 2)
	signed, err := c.write(inter+"/sign/web", map[string]any{"csr": csr, "common_name": "web.example.test"})
	must("sign", err, signed["certificate"] != nil)
	_, err = c.write(inter+"/sign-verbatim", map[string]any{"csr": csr})
	must("sign-verbatim", err, true)
	_, err = c.write(inter+"/issue/web", map[string]any{"common_name": "evil.invalid"})
	refused("refused name", err, "common name evil.invalid not allowed by this role")
	found, err := c.read(inter + "/cert/" + fmt.Sprint(issued["serial_number"]))
	must("cert", err, found["certificate"] != nil)
	chain, err := c.read(inter + "/cert/ca_chain")
	must("ca_chain", err, strings.Count(fmt.Sprint(chain["ca_chain"]), "BEGIN") == 2)
	certs, err := c.list(inter + "/certs")
	must("certs", err, len(certs["keys"].([]any)) == 3)
	revoked, err := c.write(inter+"/revoke", map[string]any{"serial_number": issued["serial_number"]})
	must("revoke", err, fmt.Sprint(revoked["revocation_time"]) != "0")
	_, err = c.write(inter+"/revoke-with-key", map[string]any{"serial_number": issued["serial_number"], "private_key": issued["private_key"]})
	must("revoke-with-key", err, true)
	issuers, err := c.list(inter + "/issuers")
	must("issuers", err, len(issuers["keys"].([]any)) == 2)
	missing, err := c.read(inter + "/roles/none")
	must("no role", err, missing == nil)
	must("delete role", c.delete(inter+"/roles/web"), true)
	must("unmount", c.delete("sys/mounts/"+inter), true)
	must("unmount", c.delete("sys/mounts/"+root), true)
}

func main() {
	csr, err := os.ReadFile(os.Getenv("CSR"))
	must("csr", err, true)
	ctx := context.Background()

	config := bao.DefaultConfig()
	must("configure", config.ConfigureTLS(&bao.TLSConfig{CACert: os.Getenv("VAULT_CACERT")}), true)
	config.Address = os.Getenv("VAULT_ADDR")
	openbao, err := bao.NewClient(config)
	must("openbao client", err, true)
	openbao.SetToken(os.Getenv("VAULT_TOKEN"))
	data := func(secret *bao.Secret, err error) (map[string]any, error) {
		if secret == nil {
			return nil, err
		}
		return secret.Data, err
	}
	health, err := openbao.Sys().HealthWithContext(ctx)
	must("health", err, health.Initialized && !health.Sealed)
	calls("bao", logical{
		read: func(path string) (map[string]any, error) { return data(openbao.Logical().ReadWithContext(ctx, path)) },
		list: func(path string) (map[string]any, error) { return data(openbao.Logical().ListWithContext(ctx, path)) },
		write: func(path string, body map[string]any) (map[string]any, error) {
			return data(openbao.Logical().WriteWithContext(ctx, path, body))
		},
		delete: func(path string) error { _, err := openbao.Logical().DeleteWithContext(ctx, path); return err },
	}, string(csr))
	token, err := openbao.Auth().Token().CreateWithContext(ctx, &bao.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	must("token", err, token.Auth.ClientToken != "")
	child, err := openbao.Clone()
	must("clone", err, true)
	child.SetToken(token.Auth.ClientToken)
	self, err := child.Auth().Token().LookupSelfWithContext(ctx)
	id, _ := self.TokenID()
	must("lookup-self", err, id == token.Auth.ClientToken)
	_, err = child.Auth().Token().RenewSelfWithContext(ctx, 7200)
	must("renew-self", err, true)
	must("revoke-self", child.Auth().Token().RevokeSelfWithContext(ctx, ""), true)
	_, err = child.Auth().Token().LookupSelfWithContext(ctx)
	refused("revoked", err, "permission denied")
	must("policy", openbao.Sys().PutPolicyWithContext(ctx, "go", `path "go/*" { capabilities = ["read"] }`), true)
	text, err := openbao.Sys().GetPolicyWithContext(ctx, "go")
	must("read policy", err, strings.Contains(text, "go/*"))

	other := vault.DefaultConfig()
	must("configure", other.ConfigureTLS(&vault.TLSConfig{CACert: os.Getenv("VAULT_CACERT")}), true)
	other.Address = os.Getenv("VAULT_ADDR")
	hashi, err := vault.NewClient(other)
	must("vault client", err, true)
	hashi.SetToken(os.Getenv("VAULT_TOKEN"))
	data2 := func(secret *vault.Secret, err error) (map[string]any, error) {
		if secret == nil {
			return nil, err
		}
		return secret.Data, err
	}
	calls("vault", logical{
		read: func(path string) (map[string]any, error) { return data2(hashi.Logical().ReadWithContext(ctx, path)) },
		list: func(path string) (map[string]any, error) { return data2(hashi.Logical().ListWithContext(ctx, path)) },
		write: func(path string, body map[string]any) (map[string]any, error) {
			return data2(hashi.Logical().WriteWithContext(ctx, path, body))
		},
		delete: func(path string) error { _, err := hashi.Logical().DeleteWithContext(ctx, path); return err },
	}, string(csr))
	auths, err := hashi.Sys().ListAuthWithContext(ctx)
	must("ways to log in", err, auths["token/"] != nil)
	mounts, err := hashi.Sys().ListMountsWithContext(ctx)
	must("mounts", err, len(mounts) > 0)
	fmt.Printf("%d calls\n", done)
}
