// Walks golang.org/x/crypto/acme through an ACME server: registers, proves names by each challenge, takes certificates by the
// new calls and by the ones before them, lists other chains, replaces the account's key, revokes by either key, and ends the
// account. Challenges are answered by pebble-challtestsrv. Prints a line for each step.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/crypto/acme"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func newKey() *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func tell(server, path string, body map[string]string) {
	answer := must(http.Post(server+path, "application/json", bytes.NewReader(must(json.Marshal(body)))))
	answer.Body.Close()
}

func prove(ctx context.Context, client *acme.Client, server, url, kind string) {
	authorization := must(client.GetAuthorization(ctx, url))
	if authorization.Status == acme.StatusValid {
		return
	}
	name := authorization.Identifier.Value
	for _, challenge := range authorization.Challenges {
		if challenge.Type != kind {
			continue
		}
		response := must(client.HTTP01ChallengeResponse(challenge.Token))
		switch kind {
		case "http-01":
			tell(server, "/add-http01", map[string]string{"token": challenge.Token, "content": response})
		case "dns-01":
			text := must(client.DNS01ChallengeRecord(challenge.Token))
			tell(server, "/set-txt", map[string]string{"host": "_acme-challenge." + name + ".", "value": text})
		case "tls-alpn-01":
			tell(server, "/add-tlsalpn01", map[string]string{"host": name, "content": response})
		}
		must(client.Accept(ctx, challenge))
		must(client.WaitAuthorization(ctx, url))
		return
	}
	panic("no " + kind + " for " + name)
}

func request(key crypto.Signer, name string) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key))
}

func main() {
	directory, server := os.Args[1], os.Args[2]
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(os.Args[3])))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	client := &acme.Client{Key: newKey(), DirectoryURL: directory, HTTPClient: &http.Client{Transport: transport}}

	account := must(client.Register(ctx, &acme.Account{Contact: []string{"mailto:ops@example.test"}}, acme.AcceptTOS))
	fmt.Println("registered", account.Status)

	var last []byte
	var lastKey crypto.Signer
	for i, kind := range []string{"http-01", "dns-01", "tls-alpn-01", "http-01"} {
		name := kind + ".go.example.test"
		order := must(client.AuthorizeOrder(ctx, acme.DomainIDs(name)))
		for _, url := range order.AuthzURLs {
			prove(ctx, client, server, url, kind)
		}
		order = must(client.WaitOrder(ctx, order.URI))
		key := newKey()
		var chain [][]byte
		var url string
		var err error
		if i%2 == 0 {
			chain, url, err = client.CreateCertFromOrder(ctx, order, request(key, name), true)
		} else {
			// It finds the order by the Location of the answer.
			chain, url, err = client.CreateOrderCert(ctx, order.FinalizeURL, request(key, name), true)
		}
		if err != nil {
			panic(err)
		}
		leaf := must(x509.ParseCertificate(chain[0]))
		fmt.Println("issued", leaf.DNSNames[0])
		for _, other := range must(client.ListCertAlternates(ctx, url)) {
			fmt.Println("alternate", len(must(client.FetchCert(ctx, other, true))))
		}
		last, lastKey = chain[0], key
		if i == 1 {
			if err := client.RevokeCert(ctx, nil, chain[0], acme.CRLReasonSuperseded); err != nil {
				panic(err)
			}
			fmt.Println("revoked by the account")
		}
	}

	if err := client.RevokeCert(ctx, lastKey, last, acme.CRLReasonKeyCompromise); err != nil {
		panic(err)
	}
	fmt.Println("revoked by its key")

	if err := client.AccountKeyRollover(ctx, newKey()); err != nil {
		panic(err)
	}
	account = must(client.GetReg(ctx, ""))
	account.Contact = []string{"mailto:other@example.test"}
	fmt.Println("another key", must(client.UpdateReg(ctx, account)).Contact[0])
	if err := client.DeactivateReg(ctx); err != nil {
		panic(err)
	}
	fmt.Println("deactivated")
}
