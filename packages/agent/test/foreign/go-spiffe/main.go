// Uses the agent as any Go program would, with go-spiffe: run by a test, with SPIFFE_ENDPOINT_SOCKET in its environment.
// It waits for three rotations, and says on standard output what it saw, as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

type watcher struct {
	mutex   sync.Mutex
	serials []string
	errors  []string
	news    chan struct{}
}

func (w *watcher) OnX509ContextUpdate(c *workloadapi.X509Context) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	serial := c.DefaultSVID().Certificates[0].SerialNumber.Text(16)
	if len(w.serials) == 0 || w.serials[len(w.serials)-1] != serial {
		w.serials = append(w.serials, serial)
	}
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *watcher) OnX509ContextWatchError(err error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.errors = append(w.errors, err.Error())
}

type seen struct {
	Ids       []string `json:"ids"`
	Hints     []string `json:"hints"`
	Bundles   int      `json:"bundles"`
	Rotations int      `json:"rotations"`
	Errors    []string `json:"errors"`
	Hellos    int      `json:"hellos"`
	Jwt       string   `json:"jwt"`
	Validated string   `json:"validated"`
	Wit       string   `json:"wit"`
	Refused   string   `json:"refused"`
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	found := seen{}

	client, err := workloadapi.New(ctx)
	check(err)
	defer client.Close()
	all, err := client.FetchX509Context(ctx)
	check(err)
	for _, svid := range all.SVIDs {
		found.Ids = append(found.Ids, svid.ID.String())
		found.Hints = append(found.Hints, svid.Hint)
	}
	found.Bundles = all.Bundles.Len()

	source, err := workloadapi.NewX509Source(ctx)
	check(err)
	defer source.Close()
	listener, err := spiffetls.ListenWithMode(ctx, "tcp", "127.0.0.1:0",
		spiffetls.MTLSServerWithRawConfig(tlsconfig.AuthorizeMemberOf(all.DefaultSVID().ID.TrustDomain()), source, source))
	check(err)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	hello := func() {
		conn, err := spiffetls.DialWithMode(ctx, "tcp", listener.Addr().String(),
			spiffetls.MTLSClientWithRawConfig(tlsconfig.AuthorizeID(all.DefaultSVID().ID), source, source))
		check(err)
		defer conn.Close()
		_, err = conn.Write([]byte("hello"))
		check(err)
		answer := make([]byte, 5)
		_, err = io.ReadFull(conn, answer)
		check(err)
		found.Hellos++
	}

	watched := &watcher{news: make(chan struct{}, 1)}
	watching, stop := context.WithCancel(ctx)
	go client.WatchX509Context(watching, watched)
	for {
		hello()
		watched.mutex.Lock()
		found.Rotations = len(watched.serials) - 1
		watched.mutex.Unlock()
		if found.Rotations >= 3 {
			break
		}
		select {
		case <-watched.news:
		case <-ctx.Done():
			check(ctx.Err())
		}
	}
	watched.mutex.Lock()
	found.Errors = append([]string{}, watched.errors...)
	watched.mutex.Unlock()
	stop()

	tokens, err := workloadapi.NewJWTSource(ctx)
	check(err)
	defer tokens.Close()
	token, err := tokens.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "interop"})
	check(err)
	var bundles jwtbundle.Source = tokens
	parsed, err := jwtsvid.ParseAndValidate(token.Marshal(), bundles, []string{"interop"})
	check(err)
	found.Jwt = parsed.ID.String()
	validated, err := client.ValidateJWTSVID(ctx, token.Marshal(), "interop")
	check(err)
	found.Validated = validated.ID.String()

	_, err = client.FetchWITSVIDs(ctx, "")
	found.Wit = status.Code(err).String()
	_, err = client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "interop", Subject: spiffeid.RequireFromString("spiffe://example.org/other")})
	found.Refused = status.Code(err).String()

	check(json.NewEncoder(os.Stdout).Encode(found))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
