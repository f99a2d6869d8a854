// Verifies chains with Go's crypto/x509: `go run verify-chain.go ROOT.pem INTERMEDIATE.pem LEAF.pem [NAME]…`.
// Prints ok, or the reason, a line for each LEAF,NAME pair given.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
)

func load(path string) *x509.Certificate {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		fmt.Println("parse:", path, err)
		os.Exit(2)
	}
	return certificate
}

func main() {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(load(os.Args[1]))
	intermediates.AddCert(load(os.Args[2]))
	for _, pair := range os.Args[3:] {
		path, name, _ := strings.Cut(pair, ",")
		_, err := load(path).Verify(x509.VerifyOptions{
			DNSName:       name,
			Roots:         roots,
			Intermediates: intermediates,
			KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			fmt.Println("refused:", err)
			continue
		}
		fmt.Println("ok")
	}
}
