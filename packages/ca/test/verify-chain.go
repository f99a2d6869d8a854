// Verifies chains with Go's crypto/x509: `go run verify-chain.go ROOT.pem INTERMEDIATES.pem LEAF.pem [NAME]…`.
// Prints ok, or the reason, a line for each LEAF,NAME pair given.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
)

// Every certificate of a file.
func load(path string) (certificates []*x509.Certificate) {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			fmt.Println("parse:", path, err)
			os.Exit(2)
		}
		certificates = append(certificates, certificate)
	}
	return certificates
}

func main() {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(load(os.Args[1])[0])
	for _, each := range load(os.Args[2]) {
		intermediates.AddCert(each)
	}
	for _, pair := range os.Args[3:] {
		path, name, _ := strings.Cut(pair, ",")
		_, err := load(path)[0].Verify(x509.VerifyOptions{
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
