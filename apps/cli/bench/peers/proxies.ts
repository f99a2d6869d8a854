import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@countersign/base';
import { foreign, freePort, programOf } from '@countersign/testkit';
import { bin } from '../../test/countersign.ts';
import { envoyBootstrap } from './envoy-bootstrap.ts';
import { endProcess, idOf, type PeerWorld, serverName } from './peer-world.ts';

/** A proxy that serves: mTLS on both sides, an identity rule, an identity header, an access log and a CRL. */
export interface RunningProxy {
  readonly pid: number;
  readonly port: number;
  /** Takes up the list that lies in crl.pem now, by the way that its operators have. */
  reload(crlPem: string): Promise<void>;
  end(): Promise<void>;
}

export interface PeerProxy {
  readonly name: string;
  /** Why it cannot be measured here; undefined where it can. */
  readonly missing: string | undefined;
  /** How a new list reaches it. */
  readonly reloadedBy: string;
  /** Measured for the revocation table alone: the figures are those of the other way. */
  readonly isSecondWay?: boolean;
  start(world: PeerWorld): Promise<RunningProxy>;
}

const envoy = [join(foreign, 'envoy/bin/envoy')].find(existsSync);
// Neither knows `--version`.
const [nginx, haproxy] = ['/usr/sbin/nginx', '/usr/sbin/haproxy'].map((path) =>
  existsSync(path) ? path : undefined,
);
const taskset = programOf('taskset');

export const proxies: readonly PeerProxy[] = [
  {
    name: 'Countersign',
    missing: undefined,
    reloadedBy: 'the file that changed',
    async start(world) {
      const port = await freePort();
      const config = world.write('ours.json', JSON.stringify(envoyBootstrap(world, port)));
      const words = [bin, 'gateway', '--config', config, '--log-level', 'info'];
      const child = launch(world, 'ours', process.execPath, words);
      return await serving(world, child, port, async () => {});
    },
  },
  {
    name: 'bare Node proxy',
    missing: undefined,
    reloadedBy: 'setSecureContext',
    async start(world) {
      const script = fileURLToPath(new URL('./bare-proxy-process.ts', import.meta.url));
      const port = await freePort();
      const words = [script, world.directory, String(world.upstreamPort), idOf('alice')];
      const child = launch(world, 'bare', process.execPath, [...words, String(port)]);
      return await serving(world, child, port, async () => {});
    },
  },
  {
    name: 'Envoy',
    missing: envoy === undefined ? 'no envoy (run .ci/foreign-tools)' : undefined,
    reloadedBy: 'SDS from a file',
    async start(world) {
      const port = await freePort();
      // Envoy reads a list again only where it comes by SDS.
      const config = world.write(
        'envoy.json',
        JSON.stringify(envoyBootstrap(world, port, { overSds: true })),
      );
      const child = launch(world, 'envoy', envoy as string, [
        ...['-c', config, '--concurrency', '1', '-l', 'error', '--use-dynamic-base-id'],
      ]);
      return await serving(world, child, port, async () => {});
    },
  },
  {
    name: 'nginx',
    missing: nginx === undefined ? 'no nginx (run .ci/foreign-tools)' : undefined,
    reloadedBy: 'SIGHUP',
    async start(world) {
      const port = await freePort();
      const config = world.write('nginx.conf', nginxConfig(world, port));
      const words = ['-c', config, '-p', world.directory];
      const child = launch(world, 'nginx', nginx as string, words);
      return await serving(world, child, port, async () => void child.kill('SIGHUP'));
    },
  },
  {
    name: 'HAProxy',
    missing: haproxy === undefined ? 'no haproxy (run .ci/foreign-tools)' : undefined,
    reloadedBy: 'its runtime API',
    async start(world) {
      const port = await freePort();
      const config = world.write('haproxy.cfg', haproxyConfig(world, port, 'haproxy'));
      const child = launch(world, 'haproxy', haproxy as string, ['-db', '-f', config]);
      return await serving(world, child, port, async (pem) => {
        const file = world.file('crl.pem');
        const command = (text: string) => haproxyCommand(world.file('haproxy.sock'), text);
        await command(`set ssl crl-file ${file} <<\n${pem.trim()}\n\n`);
        await command(`commit ssl crl-file ${file}\n`);
      });
    },
  },
  {
    name: 'HAProxy, reloaded',
    missing: haproxy === undefined ? 'no haproxy (run .ci/foreign-tools)' : undefined,
    reloadedBy: 'SIGUSR2',
    isSecondWay: true,
    async start(world) {
      const port = await freePort();
      const config = world.write('haproxy2.cfg', haproxyConfig(world, port, 'haproxy2'));
      const child = launch(world, 'haproxy2', haproxy as string, ['-W', '-db', '-f', config]);
      return await serving(world, child, port, async () => void child.kill('SIGUSR2'));
    },
  },
];

/** On the second core, where there is one: the callers and the service behind it have the first. */
function launch(
  world: PeerWorld,
  name: string,
  program: string,
  words: readonly string[],
): ChildProcess {
  const out = openSync(world.file(`${name}.out`), 'w');
  const [command, args] =
    taskset === undefined ? [program, words] : [taskset, ['-c', '1', program, ...words]];
  return spawn(command, args, { stdio: ['ignore', out, out], cwd: world.directory });
}

async function serving(
  world: PeerWorld,
  child: ChildProcess,
  port: number,
  reload: (crlPem: string) => Promise<void>,
): Promise<RunningProxy> {
  const until = systemClock.monotonic() + 30_000;
  while (!(await accepts(port))) {
    if (child.exitCode !== null || systemClock.monotonic() > until) {
      await endProcess(child);
      throw new Error(`${child.spawnargs.join(' ')} does not serve: ${saidBy(world, child)}`);
    }
    await systemClock.sleep(100);
  }
  return { pid: child.pid ?? 0, port, reload, end: () => endProcess(child) };
}

function saidBy(world: PeerWorld, child: ChildProcess): string {
  const name = child.spawnargs.join(' ').match(/(\w+)\.(?:json|conf|cfg)/)?.[1];
  const file = world.file(`${name}.out`);
  return existsSync(file) ? readFileSync(file, 'utf8').slice(-2000) : 'nothing';
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function haproxyCommand(path: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answered = '';
    const socket = net.connect(path, () => socket.end(text));
    socket.on('data', (chunk) => {
      answered += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answered));
  });
}

function nginxConfig({ file, directory, upstreamPort }: PeerWorld, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/${name};`)
    .join(' ');
  return `daemon off; worker_processes 1; pid ${file('nginx.pid')}; error_log ${file('nginx.err')};
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 20000; }
http {
  ${temporary}
  log_format line '$ssl_client_s_dn $ssl_client_serial "$request" $status $request_time';
  access_log ${file('nginx.log')} line buffer=64k flush=1s;
  upstream service { server 127.0.0.1:${upstreamPort}; keepalive 64; keepalive_requests 100000000; }
  map $ssl_client_s_dn $allowed { default 0; "CN=alice" 1; }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${file('chain.pem')}; ssl_certificate_key ${file('key.pem')};
    ssl_client_certificate ${file('root.pem')}; ssl_verify_client on; ssl_crl ${file('crl.pem')};
    ssl_protocols TLSv1.2 TLSv1.3;
    keepalive_requests 100000000; keepalive_timeout 600s;
    location / {
      if ($allowed = 0) { return 403; }
      proxy_pass https://service; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Client-Id $ssl_client_s_dn;
      proxy_ssl_certificate ${file('chain.pem')}; proxy_ssl_certificate_key ${file('key.pem')};
      proxy_ssl_trusted_certificate ${file('root.pem')}; proxy_ssl_verify on;
      proxy_ssl_name ${serverName}; proxy_ssl_server_name on;
    }
  }
}
`;
}

function haproxyConfig({ file, upstreamPort }: PeerWorld, port: number, name: string): string {
  const pair = `ssl crt ${file('pair.pem')} ca-file ${file('root.pem')} verify required`;
  return `global
  nbthread 1
  maxconn 4000
  log stdout format raw local0
  stats socket ${file(`${name}.sock`)} mode 600 level admin
defaults
  mode http
  log global
  option httplog
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  timeout http-keep-alive 600s
frontend callers
  bind 127.0.0.1:${port} ${pair} crl-file ${file('crl.pem')}
  http-request deny unless { ssl_c_s_dn(cn) alice }
  http-request set-header X-Client-Id %[ssl_c_s_dn(cn)]
  default_backend service
backend service
  http-reuse always
  server one 127.0.0.1:${upstreamPort} ${pair} verifyhost ${serverName} sni str(${serverName})
`;
}
