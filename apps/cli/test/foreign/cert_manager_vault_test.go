// cert-manager's own Vault issuer, driven against a server: this file is put beside it, in its package.
package vault

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	clientcorev1 "k8s.io/client-go/listers/core/v1"
	"sigs.k8s.io/yaml"

	v1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
)

// secrets are those of the namespace, by name.
type secrets map[string]*corev1.Secret

func (s secrets) Secrets(string) clientcorev1.SecretNamespaceLister { return s }

func (s secrets) List(labels.Selector) ([]*corev1.Secret, error) { return nil, nil }

func (s secrets) Get(name string) (*corev1.Secret, error) {
	if found := s[name]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("no secret %q", name)
}

// issuers are those of a manifest, in which nothing may stand that cert-manager does not know.
func issuers(t *testing.T, manifest []byte) []v1.Issuer {
	var found []v1.Issuer
	for _, document := range strings.Split(string(manifest), "\n---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			t.Fatal(err)
		}
		var into any
		switch kind.Kind {
		case "Issuer", "ClusterIssuer":
			into = &v1.Issuer{}
		case "Certificate":
			into = &v1.Certificate{}
		default:
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
			t.Fatalf("%s: %v", kind.Kind, err)
		}
		if issuer, ok := into.(*v1.Issuer); ok {
			found = append(found, *issuer)
		}
	}
	return found
}

func ref(name, key string) cmmeta.SecretKeySelector {
	return cmmeta.SecretKeySelector{LocalObjectReference: cmmeta.LocalObjectReference{Name: name}, Key: key}
}

func request(t *testing.T, name string) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestCountersign(t *testing.T) {
	env := os.Getenv
	roots, err := os.ReadFile(env("VAULT_CACERT"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) []byte {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	secret := func(name string, data map[string][]byte) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Data: data}
	}
	lister := secrets{
		"countersign-token":   secret("token", map[string][]byte{"token": []byte(env("VAULT_TOKEN"))}),
		"wrong":               secret("wrong", map[string][]byte{"token": []byte("nope")}),
		"countersign-approle": secret("approle", map[string][]byte{"secretId": []byte(env("VAULT_SECRET_ID"))}),
		"countersign-client":  secret("cert", map[string][]byte{"tls.crt": file(env("VAULT_CLIENT_CERT")), "tls.key": file(env("VAULT_CLIENT_KEY"))}),
	}
	createToken := func(string) CreateToken {
		return func(context.Context, string, *authv1.TokenRequest, metav1.CreateOptions) (*authv1.TokenRequest, error) {
			return &authv1.TokenRequest{Status: authv1.TokenRequestStatus{Token: env("VAULT_K8S_JWT")}}, nil
		}
	}
	open := func(vault v1.VaultIssuer) (Interface, error) {
		vault.Server, vault.CABundle = env("VAULT_ADDR"), roots
		if vault.Auth.AppRole != nil && vault.Auth.AppRole.RoleId != "nobody" {
			vault.Auth.AppRole.RoleId = env("VAULT_ROLE_ID")
		}
		issuer := &v1.Issuer{ObjectMeta: metav1.ObjectMeta{Name: "vault", Namespace: "shop"}, Spec: v1.IssuerSpec{IssuerConfig: v1.IssuerConfig{Vault: &vault}}}
		return New(context.Background(), "shop", createToken, lister, issuer, false)
	}
	for _, issuer := range issuers(t, file(env("MANIFESTS")+"/cert-manager-vault.yaml")) {
		t.Run(issuer.Name, func(t *testing.T) {
			issuer, err := open(*issuer.Spec.Vault)
			if err != nil {
				t.Fatal(err)
			}
			if err := issuer.IsVaultInitializedAndUnsealed(); err != nil {
				t.Fatal(err)
			}
			cert, ca, err := issuer.Sign(request(t, "web.example.test"), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(ca) {
				t.Fatalf("no authority in %q", ca)
			}
			block, rest := pem.Decode(cert)
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			above := x509.NewCertPool()
			above.AppendCertsFromPEM(rest)
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "web.example.test", Roots: pool, Intermediates: above}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := issuer.Sign(request(t, "evil.invalid"), time.Hour); err == nil || !strings.Contains(err.Error(), "not allowed by this role") {
				t.Fatalf("a name that the role does not allow: %v", err)
			}
		})
	}
	if len(issuers(t, file(env("MANIFESTS")+"/cert-manager-acme.yaml"))) != 1 {
		t.Fatal("no ACME issuer")
	}
	t.Run("refusals", func(t *testing.T) {
		path := env("VAULT_SIGN_PATH")
		wrong := ref("wrong", "token")
		issuer, err := open(v1.VaultIssuer{Path: path, Auth: v1.VaultAuth{TokenSecretRef: &wrong}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := issuer.Sign(request(t, "web.example.test"), time.Hour); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Fatalf("a wrong token: %v", err)
		}
		_, err = open(v1.VaultIssuer{Path: path, Auth: v1.VaultAuth{AppRole: &v1.VaultAppRole{Path: "approle", RoleId: "nobody", SecretRef: ref("countersign-approle", "secretId")}}})
		if err == nil || !strings.Contains(err.Error(), "invalid role or secret ID") {
			t.Fatalf("a wrong role id: %v", err)
		}
		token := ref("countersign-token", "token")
		issuer, err = open(v1.VaultIssuer{Path: "pki/sign/none", Auth: v1.VaultAuth{TokenSecretRef: &token}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := issuer.Sign(request(t, "web.example.test"), time.Hour); err == nil || !strings.Contains(err.Error(), "unknown role") {
			t.Fatalf("no role: %v", err)
		}
	})
}
