// Command est-go-client drives GlobalSign's EST client: every operation, and refusals by their status.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/globalsign/est"
)

type outcome map[string]any

func main() {
	var given struct {
		Host, Label, User, Password string
		Roots                       string
	}
	must(json.NewDecoder(os.Stdin).Decode(&given))
	pem, err := os.ReadFile(given.Roots)
	must(err)
	anchors := x509.NewCertPool()
	if !anchors.AppendCertsFromPEM(pem) {
		panic("no roots")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	client := func() *est.Client {
		return &est.Client{
			Host: given.Host, AdditionalPathSegment: given.Label, ExplicitAnchor: anchors,
			Username: given.User, Password: given.Password,
		}
	}
	found := outcome{}

	authorities, err := client().CACerts(ctx)
	must(err)
	found["authorities"] = len(authorities)
	_, err = client().CSRAttrs(ctx)
	found["csrattrs"] = statusOf(err)

	key, request := newRequest("go.example.test")
	leaf, err := client().Enroll(ctx, request)
	must(err)
	intermediates := x509.NewCertPool()
	for _, each := range authorities {
		intermediates.AddCert(each)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: anchors, Intermediates: intermediates, DNSName: "go.example.test",
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	must(err)
	found["chain"] = len(chains[0])

	holder := client()
	holder.Certificates = []*x509.Certificate{leaf}
	holder.PrivateKey = key
	_, next := newRequest("go.example.test")
	renewed, err := holder.Reenroll(ctx, next)
	must(err)
	found["renewed"] = renewed.SerialNumber.Cmp(leaf.SerialNumber) != 0 && renewed.Subject.CommonName == "go.example.test"
	_, other := newRequest("other.example.test")
	_, err = holder.Reenroll(ctx, other)
	found["changed name"] = statusOf(err)
	_, err = client().Reenroll(ctx, next)
	found["no certificate"] = statusOf(err)

	made, der, err := client().ServerKeyGen(ctx, request)
	must(err)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	must(err)
	public := parsed.(crypto.Signer).Public().(*ecdsa.PublicKey)
	found["made"] = public.Equal(made.PublicKey)

	_, evil := newRequest("evil.invalid")
	_, err = client().Enroll(ctx, evil)
	found["evil"] = statusOf(err)
	stranger := client()
	stranger.Username, stranger.Password = "", ""
	_, err = stranger.Enroll(ctx, request)
	found["stranger"] = statusOf(err)
	elsewhere := client()
	elsewhere.AdditionalPathSegment = "nowhere"
	_, err = elsewhere.CACerts(ctx)
	found["label"] = statusOf(err)
	must(json.NewEncoder(os.Stdout).Encode(found))
}

func newRequest(name string) (*ecdsa.PrivateKey, *x509.CertificateRequest) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	must(err)
	request, err := x509.ParseCertificateRequest(der)
	must(err)
	return key, request
}

// 200 where there is no error, the status of an answer, or what else went wrong.
func statusOf(err error) any {
	if err == nil {
		return 200
	}
	var answered est.Error
	if errors.As(err, &answered) {
		return answered.StatusCode()
	}
	return err.Error()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
