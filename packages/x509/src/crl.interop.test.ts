import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { testCa } from '@countersign/testkit';
import { buildCrl, type CrlTemplate } from './build-crl.ts';
import type { ReasonFlag } from './extension.ts';
import { extension } from './extension-builders.ts';
import { reasonFlags } from './extension-readers.ts';
import { formatGeneralName } from './general-name.ts';
import { crlsFromPem } from './parse-crl.ts';
import { encodePem } from './pem.ts';

const folder = mkdtempSync(join(tmpdir(), 'crl-interop-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'no openssl';

const at = Math.floor(performance.timeOrigin / 1000) * 1000;
const root = testCa({ at });
const issuer = root.certificate.subject;
const shard = 'http://crl.example/7.crl';
const delta = 'http://crl.example/7-delta.crl';
const leaf = root.leaf({
  crlUris: [shard],
  extensions: [extension.freshestCrl([[delta]])],
});
const scope = extension.issuingDistributionPoint({ uris: [shard], onlyContainsUserCerts: true });

const list = async (changes: Partial<CrlTemplate>): Promise<string> => {
  const template: CrlTemplate = {
    signer: root.signer,
    issuer,
    authorityKeyId: root.certificate.subjectKeyId,
    thisUpdate: at - 60_000,
    nextUpdate: at + 3_600_000,
    crlNumber: 10n,
    entries: [],
  };
  return encodePem('X509 CRL', await buildCrl({ ...template, ...changes }));
};

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

function openssl(...args: readonly string[]): string {
  const { stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8', timeout: 20_000 });
  return `${stdout}${stderr}`;
}

const rootFile = file('root.pem', root.certificatePem);
const leafFile = file('leaf.pem', leaf.certificatePem);

function verify(lists: string, ...options: readonly string[]): string {
  return openssl(
    ...['verify', '-x509_strict', '-crl_check', '-extended_crl', ...options],
    ...['-CAfile', rootFile, '-CRLfile', file('lists.pem', lists), leafFile],
  );
}

const revoked = { serialHex: leaf.certificate.serialHex, date: at - 60_000 };

test('openssl takes the scope of our partitioned lists as we mean it', { skip }, async () => {
  assert.match(verify(await list({ extensions: [scope] })), /: OK/);
  assert.match(verify(await list({ extensions: [scope], entries: [revoked] })), /revoked/);
  const elsewhere = extension.issuingDistributionPoint({ uris: ['http://crl.example/8.crl'] });
  assert.match(verify(await list({ extensions: [elsewhere] })), /[Dd]ifferent CRL scope/);
  const cas = extension.issuingDistributionPoint({ uris: [shard], onlyContainsCaCerts: true });
  assert.match(verify(await list({ extensions: [cas] })), /[Dd]ifferent CRL scope/);
  const some: readonly ReasonFlag[] = ['keyCompromise', 'aACompromise'];
  const rest = reasonFlags.filter((flag) => flag !== undefined && !some.includes(flag));
  const partOf = async (reasons: readonly (ReasonFlag | undefined)[]): Promise<string> => {
    const onlySomeReasons = new Set(reasons.filter((reason) => reason !== undefined));
    const point = extension.issuingDistributionPoint({ uris: [shard], onlySomeReasons });
    return await list({ extensions: [point] });
  };
  const half = await partOf(some);
  assert.doesNotMatch(verify(half), /: OK/);
  assert.match(verify(half + (await partOf(rest))), /: OK/);
});

test('openssl applies our deltas, revoking and taking off', { skip }, async () => {
  const base = await list({ extensions: [scope, extension.freshestCrl([[delta]])] });
  const deltaOf = (entries: CrlTemplate['entries']): Promise<string> =>
    list({ crlNumber: 11n, extensions: [scope, extension.deltaCrlIndicator(10n)], entries });
  assert.match(verify(base + (await deltaOf([])), '-use_deltas'), /: OK/);
  assert.match(verify(base + (await deltaOf([revoked])), '-use_deltas'), /revoked/);
  const held = await list({
    extensions: [scope, extension.freshestCrl([[delta]])],
    entries: [{ ...revoked, reason: 'certificateHold' }],
  });
  assert.match(verify(held), /revoked/);
  const freed = await deltaOf([{ ...revoked, reason: 'removeFromCRL' }]);
  assert.match(verify(held + freed, '-use_deltas'), /: OK/);
});

test('openssl finds whose certificates an indirect list of ours names', { skip }, async () => {
  const lists = testCa({ at, name: 'lists' });
  const text = openssl(
    'crl',
    '-noout',
    '-text',
    '-in',
    file(
      'indirect.pem',
      await list({
        signer: lists.signer,
        issuer: lists.certificate.subject,
        extensions: [extension.issuingDistributionPoint({ indirectCrl: true })],
        entries: [
          { serialHex: '0a', date: at },
          { serialHex: '0b', date: at, reason: 'superseded', certificateIssuer: issuer },
          { serialHex: '0c', date: at, certificateIssuer: issuer },
          { serialHex: '0d', date: at, certificateIssuer: lists.certificate.subject },
        ],
      }),
    ),
  );
  const named = [...text.matchAll(/Certificate Issuer: critical\s+DirName:.*CN ?= ?(.*)/g)];
  assert.deepEqual(
    named.map(([, name]) => name),
    ['test root', 'lists'],
    text,
  );
  assert.match(text, /Indirect CRL/);
});

test('we read the scope, base and points of a list of openssl', { skip }, () => {
  const config = `[ca]
default_ca=d
[d]
database=${file('index.txt', 'R\t300101000000Z\t260101000000Z,removeFromCRL\t0A\tunknown\t/CN=x\n')}
crlnumber=${file('number', '0B\n')}
default_md=sha256
crl_extensions=e
[e]
authorityKeyIdentifier=keyid
issuingDistributionPoint=critical,@p
freshestCRL=URI:${delta}
2.5.29.27=critical,ASN1:INTEGER:10
[p]
fullname=URI:${shard}
indirectCRL=TRUE
onlysomereasons=keyCompromise,CACompromise
`;
  const keyFile = file('key.pem', root.keyPem);
  const text = openssl(
    ...['ca', '-gencrl', '-crldays', '1', '-config', file('ca.cnf', config)],
    ...['-keyfile', keyFile, '-cert', rootFile],
  );
  const [read] = crlsFromPem(text.slice(text.indexOf('-----BEGIN')));
  assert.ok(read, text);
  assert.deepEqual([read.crlNumber, read.deltaCrlBase], [11n, 10n]);
  const point = read.issuingDistributionPoint;
  assert.deepEqual(point?.fullName.map(formatGeneralName), [`uri:${shard}`]);
  assert.deepEqual([...(point?.onlySomeReasons ?? [])], ['keyCompromise', 'cACompromise']);
  assert.equal(point?.indirectCrl, true);
  assert.deepEqual(read.freshestCrl?.[0]?.fullName.map(formatGeneralName), [`uri:${delta}`]);
  assert.equal(read.entries.get('0a')?.reason, 'removeFromCRL');
});
