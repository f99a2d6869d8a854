// Judges OCSP answers with Go's x/crypto/ocsp and lists with crypto/x509:
// `go run . ISSUER.pem LEAF.pem ANSWER.der…` prints a status a line; `go run . -crl ISSUER.pem LIST.der` the serials.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/ocsp"
)

func read(path string) []byte {
	bytes, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return bytes
}

func load(path string) *x509.Certificate {
	block, _ := pem.Decode(read(path))
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err)
	}
	return certificate
}

func main() {
	if os.Args[1] == "-crl" {
		list, err := x509.ParseRevocationList(read(os.Args[3]))
		if err == nil {
			err = list.CheckSignatureFrom(load(os.Args[2]))
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, entry := range list.RevokedCertificateEntries {
			fmt.Printf("%x %d\n", entry.SerialNumber, entry.ReasonCode)
		}
		return
	}
	issuer, leaf := load(os.Args[1]), load(os.Args[2])
	words := map[int]string{ocsp.Good: "good", ocsp.Revoked: "revoked", ocsp.Unknown: "unknown"}
	for _, path := range os.Args[3:] {
		answer, err := ocsp.ParseResponseForCert(read(path), leaf, issuer)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(words[answer.Status], answer.RevocationReason)
	}
}
