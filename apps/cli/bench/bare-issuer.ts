import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { type Agent, request } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@countersign/base';
import {
  buildName,
  encodePem,
  encodePrivateKey,
  generateKeyPair,
  keySigner,
  signCertificate,
} from '@countersign/x509';

export interface Body {
  readonly path: string;
  readonly text: string;
}

export type Call = (body: Body) => Promise<void>;

/** What an authority is compared with: bare-issuance-process.ts. */
export interface BareIssuer {
  readonly pid: number;
  /** On a connection of its own, with a certificate. */
  caller(): Call;
  end(): Promise<void>;
}

export async function startBareIssuer(): Promise<BareIssuer> {
  const home = await mkdtemp(join(tmpdir(), 'countersign-bare-'));
  const identity = await selfSigned();
  const program = fileURLToPath(new URL('./bare-issuance-process.ts', import.meta.url));
  const words = [program, home, JSON.stringify(identity)];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const ready = new Promise<string>((resolve) => child.stdout.once('data', resolve));
  const line = await Promise.race([ready, closed]);
  const url = new URL(/^ready (\S+)/.exec(String(line))?.[1] ?? '');
  return {
    pid: child.pid ?? 0,
    caller() {
      const options = { ...identity, rejectUnauthorized: false, keepAlive: true, maxSockets: 1 };
      return callerThrough(new TlsAgent(options), {
        ...{ host: url.hostname, port: url.port, protocol: 'https:' },
      });
    },
    async end() {
      child.kill('SIGTERM');
      await closed;
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Posts a body, and waits for the whole answer. */
export function callerThrough(
  agent: Agent,
  place: { readonly host: string; readonly port: string; readonly protocol?: 'https:' },
): Call {
  return ({ path, text }) =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const options = { agent, ...place, path, method: 'POST', headers };
      const sent = request(options, (response) => {
        let refused = false;
        response.on('data', (part: Uint8Array) => {
          refused ||= Buffer.from(part).includes('"ok":false');
        });
        response.on('end', () =>
          response.statusCode === 200 && !refused
            ? resolve()
            : reject(new Error(`${path} answered ${response.statusCode}`)),
        );
      });
      sent.on('error', reject);
      sent.end(text);
    });
}

async function selfSigned(): Promise<{ readonly key: string; readonly cert: string }> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const signer = keySigner(privateKey);
  const name = buildName([{ type: 'CN', value: 'bench' }]);
  const now = systemClock.now();
  const template = {
    ...{ serial: Uint8Array.of(1), issuer: name, subject: name, spki: signer.spki },
    ...{ notBefore: now - 60_000, notAfter: now + 86_400_000, extensions: [] },
  };
  const der = await signCertificate(template, signer);
  return { key: encodePrivateKey(privateKey), cert: encodePem('CERTIFICATE', der) };
}
