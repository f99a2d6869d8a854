import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@countersign/base';
import { freePort } from './free-port.ts';

const program = join(homedir(), '.cache/countersign-foreign/vault/bin/bao');

export function baoMissing(): string | false {
  return existsSync(program) ? false : 'no bao (run .ci/foreign-tools)';
}

export interface BaoServer {
  readonly url: string;
  readonly token: string;
  /** Of its TLS certificate, PEM. */
  readonly caFile: string;
  /** @throws Error for what is refused */
  ask(
    method: string,
    path: string,
    body?: object,
    token?: string,
  ): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

/** A real OpenBao in memory, unsealed, with TLS, on a port of its own. */
export async function startBao(): Promise<BaoServer> {
  const port = await freePort();
  const token = 'root-of-the-test';
  const directory = await mkdtemp(join(tmpdir(), 'bao-'));
  const tls = ['-dev-tls', `-dev-tls-cert-dir=${directory}`];
  const listen = [`-dev-listen-address=127.0.0.1:${port}`, `-dev-root-token-id=${token}`];
  const child = spawn(program, ['server', '-dev', '-dev-no-store-token', ...tls, ...listen], {
    stdio: 'ignore',
    env: { ...process.env, HOME: directory },
  });
  const url = `https://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await untilItAnswers(child, url);
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return {
    ...{ url, token, stop },
    caFile: join(directory, 'vault-ca.pem'),
    ask: (method, path, body, by = token) => ask(url, by, method, path, body),
  };
}

async function ask(url: string, token: string, method: string, path: string, body?: object) {
  const { status, text } = await send(`${url}/v1/${path}`, method, token, body);
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

/** Of a server of this test, whose certificate is looked at by what is tested. */
function send(url: string, method: string, token: string, body?: object) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const headers = { 'x-vault-token': token, 'content-type': 'application/json' };
    const asked = request(url, { method, headers, rejectUnauthorized: false }, (response) => {
      let text = '';
      response.on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asked.once('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function untilItAnswers(child: ChildProcess, url: string): Promise<void> {
  for (let i = 0; i < 600; i += 1) {
    if (child.exitCode !== null) throw new Error(`bao ended with ${child.exitCode}`);
    const isUp = await send(`${url}/v1/sys/health`, 'GET', '').then(
      ({ status }) => status === 200,
      () => false,
    );
    if (isUp) return;
    await systemClock.sleep(100);
  }
  throw new Error('bao does not answer');
}
