import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { type Fields, type Log, noMeter, systemClock } from '@countersign/base';
import { formatBundleDocument, makeBundle, type TrustBundle } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { BundleBook } from '../svids/bundle-book.ts';
import { Federation } from './follow-federation.ts';

const foreign = 'example-federated.org';
const hasNginx = spawnSync('nginx', ['-v']).status === 0;
const skip = hasNginx ? false : 'no nginx (run .ci/foreign-tools)';

describe('a bundle endpoint of profile https_web, which nginx serves', { skip }, () => {
  it('is known by the authorities that the public trusts, and followed through a new root', async (t) => {
    const web = await startWeb(t, { name: 'localhost', isPublic: true });
    const { book } = await follow(t, web.url);
    await until(() => book.bundle(foreign)?.sequence === 1);
    const [old] = web.roots;
    const fresh = testCa({ name: 'fresh root' });
    web.publish({ ...makeBundle(foreign, [old, fresh.root]), sequence: 2 });
    await until(() => book.bundle(foreign)?.authorities.length === 2);
    web.publish({ ...makeBundle(foreign, [fresh.root]), sequence: 3 });
    await until(() => book.bundle(foreign)?.sequence === 3);
    assert.deepEqual(book.bundle(foreign)?.authorities[0]?.raw, fresh.root.raw);
  });

  for (const [what, options, reason] of [
    [
      'whose certificate nobody vouches for',
      { name: 'localhost', isPublic: false },
      /unable to verify/,
    ],
    ['that is another host', { name: 'other.example', isPublic: true }, /altnames|Hostname/],
  ] as const) {
    it(`${what} is not believed`, async (t) => {
      const web = await startWeb(t, options);
      const { book, lines } = await follow(t, web.url);
      await until(() => lines.length > 0);
      assert.match(lines[0] ?? '', /^federated bundle not read: fetch the bundle of/);
      assert.match(lines[0] ?? '', reason);
      assert.equal(book.bundle(foreign), undefined);
    });
  }
});

async function startWeb(
  t: TestContext,
  options: { readonly name: string; readonly isPublic: boolean },
) {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-web-'));
  const at = (name: string) => join(directory, name);
  // A web authority as the public has them: it knows host names, and nothing of SPIFFE.
  const ca = testCa({ name: 'web root' });
  const { chain, privateKey } = ca.svid('spiffe://web.example/unused', {
    dns: [options.name],
  });
  writeFileSync(at('chain.pem'), chain.map(({ raw }) => encodePem('CERTIFICATE', raw)).join(''));
  writeFileSync(at('key.pem'), encodePrivateKey(privateKey), { mode: 0o600 });
  const usual = tls.getCACertificates('default');
  const root = encodePem('CERTIFICATE', ca.root.raw);
  if (options.isPublic) tls.setDefaultCACertificates([...usual, root]);
  const { root: first } = testCa();
  const publish = (bundle: TrustBundle) => {
    writeFileSync(at('next'), formatBundleDocument({ ...bundle, refreshHintSeconds: 1 }));
    renameSync(at('next'), at('bundle.json'));
  };
  publish({ ...makeBundle(foreign, [first]), sequence: 1 });
  const port = await freePort();
  const d = directory;
  writeFileSync(
    at('nginx.conf'),
    `daemon off; user root; pid ${d}/pid; error_log ${d}/errors; events {}
http { access_log off; client_body_temp_path ${d}/body; proxy_temp_path ${d}/p;
fastcgi_temp_path ${d}/f; uwsgi_temp_path ${d}/u; scgi_temp_path ${d}/s;
server { listen 127.0.0.1:${port} ssl; ssl_certificate ${d}/chain.pem; ssl_certificate_key ${d}/key.pem;
default_type application/json; location = /bundle { alias ${d}/bundle.json; } } }`,
  );
  const child = spawn('nginx', ['-c', at('nginx.conf'), '-p', directory], { stdio: 'ignore' });
  t.after(async () => {
    tls.setDefaultCACertificates(usual);
    if (child.exitCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    rmSync(directory, { recursive: true, force: true });
  });
  return { url: `https://localhost:${port}/bundle`, roots: [first] as const, publish };
}

async function follow(t: TestContext, url: string) {
  const lines: string[] = [];
  const each = (_fields: Fields, message: string) => void lines.push(message);
  const log: Log = { debug: () => {}, info: () => {}, warn: each, error: each, child: () => log };
  const book = new BundleBook(makeBundle('example.org', [testCa().root]), log);
  const federation = new Federation({
    bundles: book,
    readFile: () => Promise.reject(new Error('there is no file')),
    ...{ clock: systemClock, log, meter: noMeter },
  });
  await untilOpen(Number(new URL(url).port));
  await federation.follow([{ trustDomain: foreign, source: { kind: 'https_web', url } }]);
  t.after(() => federation.stop());
  return { book, lines };
}

async function untilOpen(port: number): Promise<void> {
  await until(
    () =>
      new Promise<boolean>((resolve) => {
        const probe = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
          probe.destroy();
          resolve(true);
        });
        probe.once('error', () => resolve(false));
      }),
  );
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(30_000);
  while (!(await isSo())) {
    deadline.throwIfAborted();
    await sleep(25);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
