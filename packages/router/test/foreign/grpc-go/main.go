// The test service of grpc-go's own interop tests over mutual TLS, with reflection.
// Usage: grpc-go-service DIR, which has key.pem, chain.pem and bundle.pem. Prints its port.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
)

type service struct{ testpb.TestServiceServer }

// UnaryCall answers with the caller's SPIFFE ID where nothing else is asked for.
func (s service) UnaryCall(ctx context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	if in.GetFillUsername() {
		p, _ := peer.FromContext(ctx)
		info := p.AuthInfo.(credentials.TLSInfo)
		return &testpb.SimpleResponse{Username: info.State.PeerCertificates[0].URIs[0].String()}, nil
	}
	if in.GetFillOauthScope() {
		return nil, status.Error(codes.FailedPrecondition, "no scopes here")
	}
	return s.TestServiceServer.UnaryCall(ctx, in)
}

func main() {
	at := func(name string) string { return filepath.Join(os.Args[1], name) }
	pair, err := tls.LoadX509KeyPair(at("chain.pem"), at("key.pem"))
	fail(err)
	bundle, err := os.ReadFile(at("bundle.pem"))
	fail(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
	})))
	testpb.RegisterTestServiceServer(server, service{interop.NewTestServer()})
	reflection.Register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	fail(server.Serve(listener))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
