import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@countersign/base';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { freePort } from './free-port.ts';
import { testCa } from './test-ca.ts';
import { startTestDns, type TestDns } from './test-dns.ts';

const program = join(homedir(), '.cache/countersign-foreign/bin/pebble');

export function pebbleMissing(): string | false {
  return existsSync(program) ? false : 'no pebble (run .ci/foreign-tools)';
}

export interface PebbleServer {
  /** Of the directory. */
  readonly url: string;
  /** Of its TLS certificate. */
  readonly caFile: string;
  readonly directory: string;
  readonly httpPort: number;
  /** Where it looks for answers to tls-alpn-01. */
  readonly tlsPort: number;
  readonly dns: TestDns;
  readonly pid: number;
  /** Its root of now, PEM. */
  root(): Promise<string>;
  stop(): Promise<void>;
}

/**
 * A real Pebble, which resolves names below `test` here. Unless it is to be easy on its clients it throws away every fifth
 * nonce and asks for an external account.
 */
export async function startPebble({
  isEasy = false,
  ...given
}: {
  readonly isEasy?: boolean;
  /** Where it looks for answers to http-01; any free one unless given. */
  readonly httpPort?: number;
} = {}): Promise<PebbleServer> {
  const directory = await mkdtemp(join(tmpdir(), 'pebble-'));
  const file = (name: string) => join(directory, name);
  const ca = testCa();
  const { certificate, privateKey } = ca.leaf({ names: [{ kind: 'dns', value: 'localhost' }] });
  await writeFile(file('ca.pem'), ca.rootPem);
  await writeFile(file('cert.pem'), encodePem('CERTIFICATE', certificate.raw));
  await writeFile(file('key.pem'), encodePrivateKey(privateKey), { mode: 0o600 });
  const dns = await startTestDns();
  const [port, management] = [await freePort(), await freePort()];
  const httpPort = given.httpPort ?? (await freePort());
  const tlsPort = await freePort();
  const pebble = {
    ...{ listenAddress: `127.0.0.1:${port}`, managementListenAddress: `127.0.0.1:${management}` },
    ...{ certificate: file('cert.pem'), privateKey: file('key.pem'), httpPort, tlsPort },
    externalAccountBindingRequired: !isEasy,
    externalAccountMACKeys: { 'kid-1': Buffer.alloc(32, 7).toString('base64url') },
    domainBlocklist: ['blocked.test'],
    retryAfter: { authz: 1, order: 1 },
    profiles: { short: { description: 'for a day', validityPeriod: 86_400 } },
  };
  await writeFile(file('pebble.json'), JSON.stringify({ pebble }));
  const words = ['-config', file('pebble.json'), '-dnsserver', dns.address, '-strict'];
  const child = spawn(program, words, {
    stdio: 'ignore',
    env: { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: isEasy ? '0' : '20' },
  });
  const root = () => get(`https://localhost:${management}/roots/0`, ca.rootPem);
  for (let i = 0; i < 300; i += 1) {
    if (child.exitCode !== null) throw new Error(`pebble ended with ${child.exitCode}`);
    if (await root().catch(() => undefined)) break;
    await systemClock.sleep(100);
  }
  return {
    ...{
      url: `https://localhost:${port}/dir`,
      caFile: file('ca.pem'),
      directory,
      httpPort,
      tlsPort,
      dns,
      pid: child.pid ?? 0,
      root,
    },
    async stop() {
      child.kill('SIGKILL');
      await dns.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function get(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { ca, family: 4 }, (response) => {
      let text = '';
      response.on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    });
    asked.once('error', reject);
    asked.end();
  });
}
