import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { alice, credentialOf, root, rulesOf, startWorld, tlsOf } from './gateway-world.suite.ts';
import { sendAll } from './send-messages.suite.ts';
import { smuggledPath, smugglingCorpus } from './smuggling-corpus.suite.ts';

const corpus = smugglingCorpus('a.example');
const everything = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: everything }
spec: { action: ALLOW, rules: [{}] }
`;

/** A server that others made: its configuration, how it is started, and where it notes each request line. */
interface Origin {
  readonly command: readonly string[];
  readonly files: (place: Place) => Readonly<Record<string, string>>;
  readonly run: (place: Place) => readonly string[];
}

interface Place {
  readonly directory: string;
  readonly port: number;
}

const origins: Readonly<Record<string, Origin>> = {
  nginx: {
    command: ['nginx', '-v'],
    files: ({ directory: d, port }) => ({
      'nginx.conf': `daemon off; pid ${d}/pid; error_log ${d}/errors; events {}
http { log_format line '$request'; access_log ${d}/log line; client_body_temp_path ${d}/body;
proxy_temp_path ${d}/p; fastcgi_temp_path ${d}/f; uwsgi_temp_path ${d}/u; scgi_temp_path ${d}/s;
server { listen 127.0.0.1:${port} ssl; ssl_certificate ${d}/chain.pem; ssl_certificate_key ${d}/key.pem;
ssl_client_certificate ${d}/root.pem; ssl_verify_client on; ssl_verify_depth 4; location / { return 200 ok; } } }`,
    }),
    run: ({ directory: d }) => ['nginx', '-c', `${d}/nginx.conf`, '-p', d],
  },
  HAProxy: {
    command: ['haproxy', '-v'],
    files: ({ directory: d, port }) => ({
      'haproxy.cfg': `global
  log stdout format raw daemon
defaults
  mode http
  log global
  log-format "%r"
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend all
  bind 127.0.0.1:${port} ssl crt ${d}/pair.pem ca-file ${d}/root.pem verify required
  http-request return status 200 content-type text/plain string ok
`,
    }),
    run: ({ directory: d }) => ['haproxy', '-db', '-f', `${d}/haproxy.cfg`],
  },
  Apache: {
    command: ['apache2', '-v'],
    files: ({ directory: d, port }) => ({
      'www/index.html': 'ok',
      'apache.conf': `ServerRoot ${d}
ServerName a.example
PidFile ${d}/pid
Listen 127.0.0.1:${port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
ErrorLog ${d}/errors
LogFormat "%r" line
CustomLog ${d}/log line
DocumentRoot ${d}/www
SSLEngine on
SSLCertificateFile ${d}/chain.pem
SSLCertificateKeyFile ${d}/key.pem
SSLCACertificateFile ${d}/root.pem
SSLVerifyClient require
SSLVerifyDepth 4
`,
    }),
    run: ({ directory: d }) => ['apache2', '-f', `${d}/apache.conf`, '-DFOREGROUND'],
  },
  Go: {
    command: ['go', 'version'],
    files: ({ directory: d, port }) => ({
      'go.mod': 'module origin\n\ngo 1.21\n',
      'main.go': `package main

import ("crypto/tls"; "crypto/x509"; "fmt"; "io"; "net/http"; "os")

func main() {
	pem, _ := os.ReadFile("${d}/root.pem")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	handler := func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.RequestURI)
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok")
	}
	config := &tls.Config{ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"http/1.1"}}
	server := &http.Server{Addr: "127.0.0.1:${port}", Handler: http.HandlerFunc(handler), TLSConfig: config}
	panic(server.ListenAndServeTLS("${d}/chain.pem", "${d}/key.pem"))
}
`,
    }),
    run: ({ directory: d }) => ['sh', '-c', `cd ${d} && go build -o origin . && exec ./origin`],
  },
};

for (const [name, origin] of Object.entries(origins)) {
  test(`${name} behind the gateway never sees a second request`, async (t) => {
    const [command = '', ...version] = origin.command;
    if (spawnSync(command, version).error !== undefined)
      return t.skip(`${command} is not installed`);
    const { port, seen } = await startOrigin(t, origin);
    const { gateway } = await startWorld(t, `https://127.0.0.1:${port}`, {
      rules: rulesOf(everything),
    });
    const connect = () => tls.connect({ port: gateway.port, host: '127.0.0.1', ...tlsOf(alice) });
    await sendAll(corpus, connect);
    const lines = seen();
    assert.ok(lines.length > 20, `${lines.length} requests got through`);
    assert.deepEqual(
      lines.filter((line) => line.includes(smuggledPath)),
      [],
    );
    assert.deepEqual(
      lines.filter((line, i) => lines.indexOf(line) !== i),
      [],
      'each message is one request at most',
    );
  });
}

async function startOrigin(t: TestContext, origin: Origin) {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-origin-'));
  const place = { directory, port: await freePort() };
  const { chainPem, keyPem } = credentialOf('orders');
  const files = {
    ...{ 'chain.pem': chainPem, 'key.pem': keyPem, 'root.pem': root.rootPem },
    ...{ 'pair.pem': chainPem + keyPem, log: '', ...origin.files(place) },
  };
  await mkdir(join(directory, 'www'));
  for (const [file, text] of Object.entries(files)) await writeFile(join(directory, file), text);
  const [command = '', ...words] = origin.run(place);
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  t.after(async () => {
    await end(child);
    rmSync(directory, { recursive: true, force: true });
  });
  await listening(place.port, () => said);
  const seen = () => `${said}${readFileSync(join(directory, 'log'), 'utf8')}`;
  return {
    port: place.port,
    seen: () =>
      seen()
        .split('\n')
        .filter((line) => / \//.test(line)),
  };
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port: number, said: () => string): Promise<void> {
  const end = performance.now() + 60_000;
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    assert.ok(performance.now() < end, `it does not listen: ${said()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const over = once(child, 'exit');
  child.kill('SIGTERM');
  await over;
}
