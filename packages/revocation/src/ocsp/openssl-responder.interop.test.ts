import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TestCredential } from '@countersign/testkit';
import { extension } from '@countersign/x509';
import {
  openFor,
  peerOf,
  pointing,
  root,
  trustDomain,
} from '../checking/revocation-world.suite.ts';

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'no openssl';
const folder = mkdtempSync(join(tmpdir(), 'responder-interop-'));
const running: ChildProcess[] = [];
after(() => {
  for (const each of running) each.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const delegate = root.leaf({
  extKeyUsage: ['OCSPSigning'],
  extensions: [extension.ocspNoCheck()],
});

for (const [name, signer] of [
  ['the issuer itself', root],
  ['a delegate', delegate],
] satisfies [string, TestCredential][]) {
  test(`openssl's responder is asked, with ${name} as the signer`, { skip }, async (t) => {
    const port = await freePort();
    const at = pointing({ url: `http://127.0.0.1:${port}` }, { ocsp: '' });
    const svid = (who: string) => root.svid(`spiffe://${trustDomain}/${who}`, at);
    const [good, revoked, stranger] = [svid('good'), svid('revoked'), svid('stranger')];
    const rows = [indexRow('V', good), indexRow('R', revoked)];
    await startResponder(port, signer, rows);
    for (const hash of ['sha1', 'sha256'] as const) {
      for (const nonce of [false, true]) {
        const { checks } = openFor(t, { method: ['ocsp'], ocsp: { hash, nonce } });
        const statusOf = async (credential: TestCredential) => {
          const peer = peerOf(credential);
          await checks.prepare(peer, { purpose: 'client' });
          return checks.check(peer);
        };
        assert.deepEqual(await statusOf(good), { status: 'good' });
        const status = await statusOf(revoked);
        assert.ok(status.status === 'revoked');
        assert.equal(status.reason, 'keyCompromise');
        const unknown = await statusOf(stranger);
        assert.ok(unknown.status === 'unknown');
        assert.match(unknown.detail, /responder does not know certificate/);
      }
    }
  });
}

async function startResponder(port: number, signer: TestCredential, rows: readonly string[]) {
  const file = (name: string, content: string): string => {
    const path = join(folder, `${port}-${name}`);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const child = spawn(
    'openssl',
    [
      ...['ocsp', '-port', String(port), '-index', file('index.txt', `${rows.join('\n')}\n`)],
      ...['-CA', file('ca.pem', root.certificatePem), '-nmin', '5'],
      ...['-rsigner', file('signer.pem', signer.certificatePem)],
      ...['-rkey', file('key.pem', signer.keyPem)],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  running.push(child);
  // A connection that asks nothing would hang it: its own word is waited for.
  await new Promise<void>((resolve, reject) => {
    let text = '';
    child.stderr?.on('data', (chunk) => {
      text += chunk;
      if (text.includes('waiting for OCSP client')) resolve();
    });
    child.once('close', () => reject(new Error(text)));
  });
}

/** A row of openssl's CA database: status, end, revocation, serial, file, subject. */
function indexRow(status: 'V' | 'R', { certificate }: TestCredential): string {
  const end = utc(certificate.notAfter);
  const revocation = status === 'R' ? `${utc(Date.now() - 60_000)},keyCompromise` : '';
  const serial = certificate.serialHex.toUpperCase();
  return [status, end, revocation, serial, 'unknown', '/CN=peer'].join('\t');
}

/** YYMMDDHHMMSSZ. */
function utc(ms: number): string {
  return `${new Date(ms).toISOString().slice(2, 19).replace(/[-:T]/g, '')}Z`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
