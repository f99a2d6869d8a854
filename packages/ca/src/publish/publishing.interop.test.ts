import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  buildOcspRequest,
  type Certificate,
  certIdOf,
  encodeOcspGetPath,
  encodePem,
  parseOcspResponse,
} from '@countersign/x509';
import { type PublishedAuthority, publishedAuthority } from '../../test/published-authority.ts';
import { shardDigits, shardOf, slugOf } from './published-paths.ts';

const go = fileURLToPath(new URL('../../test/ocsp-verify', import.meta.url));
const zlint = [join(homedir(), 'go/bin/zlint'), '/usr/local/bin/zlint'].find(existsSync);
const pkilint = join(homedir(), '.cache/countersign-foreign/pkilint/bin');
const lacks = (tool: string, ...args: string[]): string | false =>
  spawnSync(tool, args, { timeout: 10_000 }).status === 0 ? false : `${tool} is not installed`;
const skip = {
  openssl: lacks('openssl', 'version'),
  go: lacks('go', 'version'),
  zlint: zlint === undefined ? 'zlint is not installed' : false,
  pkilint: existsSync(join(pkilint, 'lint_crl')) ? false : 'pkilint is not installed',
} as const;
for (const reason of Object.values(skip))
  if (reason !== false) process.stderr.write(`skipped: ${reason}\n`);

/** Not spawnSync: the server that they ask is in this process. */
async function run(tool: string, args: readonly string[], cwd?: string): Promise<string> {
  const child = spawn(tool, args, { cwd, timeout: 110_000, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (part) => {
    text += part;
  });
  child.stderr.on('data', (part) => {
    text += part;
  });
  await new Promise((resolve) => child.once('close', resolve));
  return text;
}

describe('lists and answers', () => {
  let folder: string;
  let published: PublishedAuthority;
  let good: Certificate;
  let revoked: Certificate;
  const files = { root: '', issuer: '', good: '', revoked: '', unknown: '' };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'countersign-publishing-'));
    published = await publishedAuthority({
      publish:
        '{ url: "http://pki.example.com", crl: { shards: 3, delta: true, coalesce: 100ms }, ocsp: { validity: 1h } }',
    });
    good = await published.issue();
    revoked = await published.issue();
    await published.revoke(revoked);
    const file = async (name: string, content: string | Uint8Array) => {
      await writeFile(join(folder, name), content);
      return join(folder, name);
    };
    const pem = (certificate: Certificate) => encodePem('CERTIFICATE', certificate.raw);
    files.root = await file('root.pem', pem(published.authority.root));
    files.issuer = await file('issuer.pem', pem(published.issuer));
    files.good = await file('good.pem', pem(good));
    files.revoked = await file('revoked.pem', pem(revoked));
    await wait(500);
  });
  after(async () => {
    await published.close();
    await rm(folder, { recursive: true });
  });

  async function download(path: string, name: string): Promise<string> {
    const { status, body } = await published.get(path);
    assert.equal(status, 200, path);
    await writeFile(join(folder, name), body);
    return join(folder, name);
  }

  function listPath(certificate: Certificate, ending = '.crl'): string {
    const shard = shardDigits(shardOf(certificate.serial, 3));
    return `/crl/${slugOf('services', published.issuer)}/3/${shard}${ending}`;
  }

  function getPath(certificate: Certificate, hash: 'sha1' | 'sha256', issuer = published.issuer) {
    const request = buildOcspRequest({ certIds: [certIdOf(certificate, issuer, hash)] });
    return `/ocsp/${encodeOcspGetPath(request)}`;
  }

  for (const hash of ['sha1', 'sha256'] as const) {
    for (const nonce of ['-nonce', '-no_nonce'] as const) {
      it(`openssl ocsp believes the responder, ${hash}, ${nonce}`, {
        skip: skip.openssl,
      }, async () => {
        const ask = (...which: string[]) =>
          run('openssl', [
            ...['ocsp', '-issuer', files.issuer, `-${hash}`, nonce, ...which],
            ...['-url', `${published.publishing.url}/ocsp`],
            ...['-CAfile', files.root, '-verify_other', files.issuer],
          ]);
        const text = await ask(
          '-cert',
          files.good,
          '-cert',
          files.revoked,
          '-serial',
          '0x0102030405',
        );
        assert.match(text, /Response verify OK/);
        assert.match(text, /good\.pem: good/);
        assert.match(text, /revoked\.pem: revoked/);
        assert.match(text, /Reason: keyCompromise/);
        assert.match(text, /0x0102030405: unknown/);
        assert.doesNotMatch(text, /WARNING|rror/);
      });
    }

    it(`openssl ocsp and go believe the answers to GET, ${hash}`, {
      skip: skip.openssl,
    }, async () => {
      for (const [word, certificate, file] of [
        ['good', good, files.good],
        ['revoked', revoked, files.revoked],
      ] as const) {
        const answer = await download(getPath(certificate, hash), `${word}-${hash}.der`);
        const text = await run('openssl', [
          ...['ocsp', '-respin', answer, '-issuer', files.issuer, `-${hash}`, '-cert', file],
          ...['-no_nonce', '-CAfile', files.root, '-verify_other', files.issuer],
        ]);
        assert.match(text, /Response verify OK/);
        assert.ok(text.includes(`: ${word}\n`), text);
        if (skip.go !== false) continue;
        const verdict = await run('go', ['run', '.', files.issuer, file, answer], go);
        assert.equal(verdict.trim(), word === 'good' ? 'good 0' : 'revoked 1');
      }
    });
  }

  it('openssl verify refuses what a sharded list names, and takes what it does not', {
    skip: skip.openssl,
  }, async () => {
    for (const [certificate, file, isGood] of [
      [good, files.good, true],
      [revoked, files.revoked, false],
    ] as const) {
      const der = await download(listPath(certificate), 'list.der');
      const list = join(folder, 'list.pem');
      await run('openssl', ['crl', '-inform', 'DER', '-in', der, '-out', list]);
      const checked = await run('openssl', ['crl', '-in', list, '-CAfile', files.issuer, '-noout']);
      assert.match(checked, /verify OK/);
      const text = await run('openssl', [
        ...['verify', '-x509_strict', '-crl_check', '-extended_crl', '-CAfile', files.root],
        ...['-untrusted', files.issuer, '-CRLfile', list, file],
      ]);
      assert.match(text, isGood ? /: OK/ : /certificate revoked/);
    }
    // Out of scope: a list about another part of the certificates says nothing of this one.
    const slug = slugOf('services', published.issuer);
    const other = shardDigits((shardOf(good.serial, 3) + 1) % 3);
    const der = await download(`/crl/${slug}/3/${other}.crl`, 'other.der');
    const list = join(folder, 'other.pem');
    await run('openssl', ['crl', '-inform', 'DER', '-in', der, '-out', list]);
    const text = await run('openssl', [
      ...['verify', '-crl_check', '-extended_crl', '-CAfile', files.root],
      ...['-untrusted', files.issuer, '-CRLfile', list, files.good],
    ]);
    assert.match(text, /different CRL scope|unable to get certificate CRL/i);
  });

  it('go reads lists and verifies their signatures', {
    skip: skip.go,
    timeout: 120_000,
  }, async () => {
    const list = await download(listPath(revoked), 'go.der');
    const text = await run('go', ['run', '.', '-crl', files.issuer, list], go);
    assert.ok(text.includes(`${revoked.serialHex.replace(/^0/, '')} 1`), text);
  });

  it('zlint has nothing against lists and certificates', { skip: skip.zlint }, async () => {
    const slug = slugOf('services', published.issuer);
    const rfcs = ['-includeSources', 'RFC5280,RFC5480,RFC8813'];
    const answer = parseOcspResponse((await published.get(getPath(good, 'sha1'))).body);
    const delegate = join(folder, 'delegate.pem');
    const { raw } = answer.basic?.certificates[0] ?? assert.fail('no delegate');
    await writeFile(delegate, encodePem('CERTIFICATE', raw));
    const subjects = [
      [...rfcs, files.good],
      [...rfcs, files.issuer],
      [...rfcs, delegate],
    ];
    for (const path of [listPath(revoked), listPath(good), `/crl/${slug}.crl`]) {
      const list = await download(path, 'zlint.der');
      subjects.push([...rfcs, '-format', 'der', list]);
    }
    for (const args of subjects) {
      const text = await run(zlint ?? '', args);
      assert.doesNotMatch(text, /"result":"(?:error|fatal|warn)"/, `${args.join(' ')}: ${text}`);
    }
  });

  it('pkilint has nothing against lists and answers', {
    skip: skip.pkilint,
    timeout: 120_000,
  }, async () => {
    const lint = async (tool: string, ...args: string[]) => {
      const text = await run(join(pkilint, tool), ['lint', ...args]);
      const findings = text.split('\n').filter((line) => /\((?:ERROR|FATAL|WARNING)\)/.test(line));
      assert.deepEqual(findings, [], `${tool} ${args.join(' ')}: ${text}`);
      assert.doesNotMatch(text, /Traceback|usage:/);
    };
    const list = await download(listPath(revoked), 'pkilint.crl');
    const delta = await download(listPath(revoked, '-delta.crl'), 'pkilint-delta.crl');
    await lint('lint_crl', '-t', 'CRL', '-p', 'PKIX', list);
    await lint('lint_crl', '-t', 'CRL', '-p', 'PKIX', delta);
    for (const certificate of [good, revoked]) {
      await lint(
        'lint_ocsp_response',
        await download(getPath(certificate, 'sha256'), 'pkilint.ors'),
      );
    }
  });
});
