// Verifies chains with Go's crypto/x509, as a foreign opinion on what we issue.
//
// Reads a JSON request a line from standard input: {"leaf": path, "intermediates": path, "roots": path,
// "uri": "spiffe://…"}; writes "ok" or "refused: reason" a line.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
)

type request struct {
	Chain string `json:"chain"`
	Roots string `json:"roots"`
	URI   string `json:"uri"`
	DNS   string `json:"dns"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fmt.Println("refused: request:", err)
			continue
		}
		if err := verify(asked); err != nil {
			fmt.Println("refused:", err)
			continue
		}
		fmt.Println("ok")
	}
}

func verify(asked request) error {
	chain, err := certificates(asked.Chain)
	if err != nil {
		return err
	}
	anchors, err := certificates(asked.Roots)
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		DNSName:       asked.DNS,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, anchor := range anchors {
		options.Roots.AddCert(anchor)
	}
	for _, intermediate := range chain[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return err
	}
	if asked.URI != "" && (len(chain[0].URIs) != 1 || chain[0].URIs[0].String() != asked.URI) {
		return fmt.Errorf("URI SANs are %v, not %s", chain[0].URIs, asked.URI)
	}
	return nil
}

func certificates(path string) ([]*x509.Certificate, error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no certificate in %s", path)
	}
	return found, nil
}
