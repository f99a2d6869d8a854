import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { noLog, noMeter, systemClock } from '@countersign/base';
import {
  type Certificate,
  encodePem,
  extension,
  type KeyKind,
  keyIdOf,
  parseCertificate,
  parseCertificateRequest,
  type Signer,
  signCertificate,
} from '@countersign/x509';
import { issuedOf, payments, request } from '../test/authority-under-test.ts';
import { createHierarchy } from './hierarchy.ts';
import { Authority, parseCaConfig } from './index.ts';
import { makeIssuers } from './issuer.ts';
import { memoryLedger } from './ledger/memory-ledger.ts';
import { memoryKeyStores } from './signers/key-stores.ts';

interface Hierarchy {
  readonly name: string;
  readonly keys: string;
  readonly service: KeyKind;
}

const hierarchies: readonly Hierarchy[] = [
  {
    name: 'ec',
    keys: 'algorithm: ECDSA, curve: P-384 / algorithm: ECDSA, curve: P-256',
    service: { type: 'EC', curve: 'P-256' },
  },
  {
    name: 'rsa',
    keys: 'algorithm: RSA, keySize: 3072 / algorithm: RSA, keySize: 2048',
    service: { type: 'RSA', bits: 2048 },
  },
  {
    name: 'mixed',
    keys: 'algorithm: RSA, keySize: 2048 / algorithm: ECDSA, curve: P-521',
    service: { type: 'EC', curve: 'P-384' },
  },
  {
    name: 'edwards',
    keys: 'algorithm: Ed25519 / algorithm: Ed25519',
    service: { type: 'Ed25519' },
  },
];

const go = join(fileURLToPath(new URL('../test', import.meta.url)), 'verify-chain.go');
const zlint = [join(homedir(), 'go/bin/zlint'), '/usr/local/bin/zlint', '/usr/bin/zlint'].find(
  existsSync,
);
/** Of those that it lists, the ones that it also takes. */
const rfcs = 'RFC3279,RFC5280,RFC5480,RFC5891,RFC8813';
const lacks = (tool: string, ...args: string[]): string | false =>
  spawnSync(tool, args, { timeout: 10_000 }).status === 0 ? false : `${tool} is not installed`;
const skip = {
  openssl: lacks('openssl', 'version'),
  certtool: lacks('certtool', '--version'),
  go: lacks('go', 'version'),
  zlint: zlint === undefined ? 'zlint is not installed' : false,
} as const;
for (const reason of Object.values(skip))
  if (reason !== false) process.stderr.write(`skipped: ${reason}\n`);

for (const { name, keys, service } of hierarchies) {
  describe(`chains of a hierarchy of ${name} keys`, () => {
    let folder: string;
    const files = {
      root: '',
      intermediate: '',
      good: new Map<string, string>(),
      bad: new Map<string, string>(),
    };
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'countersign-chains-'));
      await writeChains(folder, keys, service, files);
    });
    after(() => rm(folder, { recursive: true }));

    it('are accepted by openssl, their mutated twins refused', { skip: skip.openssl }, () => {
      const verify = (leaf: string) =>
        run('openssl', [
          'verify',
          '-x509_strict',
          '-purpose',
          'sslserver',
          '-CAfile',
          files.root,
          '-untrusted',
          files.intermediate,
          leaf,
        ]);
      for (const [what, leaf] of files.good)
        assert.ok(verify(leaf).ok, `${what}: ${verify(leaf).text}`);
      for (const [what, leaf] of files.bad) assert.ok(!verify(leaf).ok, `${what} was accepted`);
    });

    it('are accepted by gnutls, their mutated twins refused', { skip: skip.certtool }, () => {
      const verify = (leaf: string) =>
        run('certtool', ['--verify', '--load-ca-certificate', files.root, '--infile', leaf]);
      for (const [what, leaf] of files.good)
        assert.ok(verify(leaf).ok, `${what}: ${verify(leaf).text}`);
      for (const [what, leaf] of files.bad) assert.ok(!verify(leaf).ok, `${what} was accepted`);
    });

    it('are accepted by go, their mutated twins refused', {
      skip: skip.go,
      timeout: 120_000,
    }, () => {
      const pairs = [...files.good, ...files.bad].map(
        ([what, leaf]) => `${leaf}${what.startsWith('named') ? ',a.prod.internal' : ''}`,
      );
      const { text } = run('go', ['run', go, files.root, files.intermediate, ...pairs], 110_000);
      const verdicts = text.trim().split('\n');
      const all = [...files.good.keys(), ...files.bad.keys()];
      assert.equal(verdicts.length, all.length, text);
      for (const [index, what] of all.entries()) {
        assert.equal(verdicts[index] === 'ok', files.good.has(what), `${what}: ${verdicts[index]}`);
      }
    });

    it('show zlint no error of any RFC', { skip: skip.zlint }, () => {
      for (const certificate of [files.root, files.intermediate, ...files.good.values()]) {
        const { ok, text } = run(zlint ?? '', ['-includeSources', rfcs, certificate]);
        assert.ok(ok, text);
        const results = Object.entries(JSON.parse(text) as Record<string, { result: string }>);
        assert.ok(results.length > 50, text);
        const findings = results.filter(
          ([, { result }]) => result === 'error' || result === 'fatal' || result === 'warn',
        );
        assert.deepEqual(findings, [], certificate);
      }
    });
  });
}

async function writeChains(
  folder: string,
  keys: string,
  service: KeyKind,
  files: {
    root: string;
    intermediate: string;
    good: Map<string, string>;
    bad: Map<string, string>;
  },
): Promise<void> {
  const [rootKey, intermediateKey] = keys.split(' / ');
  const yaml = `
ca:
  root: { ${rootKey} }
  intermediate:
    production:
      ${intermediateKey?.replaceAll(', ', '\n      ')}
      nameConstraints: { permitted: [.prod.internal], excluded: [secret.prod.internal] }
service_certificates:
  required_extensions: [{ keyUsage: [digitalSignature, keyEncipherment] }]
  san_policies: { spiffe_trust_domain: example.com, allowed_dns_patterns: ["*.prod.internal"], allow_ip_san: true }
`;
  const config = parseCaConfig(yaml, 'ca.yaml');
  const clock = systemClock;
  const ledger = memoryLedger({ clock });
  const { root, intermediates } = await createHierarchy({
    config,
    ledger,
    stores: memoryKeyStores(),
    clock,
  });
  const [production] = intermediates;
  assert.ok(production !== undefined);
  const { signer } = production;
  const issuers = makeIssuers(intermediates, root.certificate, config);
  const authority = new Authority({
    config,
    root: root.certificate,
    issuers,
    ledger,
    orphans: 0,
    clock,
    log: noLog,
    meter: noMeter,
  });

  const chain = async (name: string, der: Uint8Array) => {
    const path = join(folder, name);
    await writeFile(
      path,
      encodePem('CERTIFICATE', der) + encodePem('CERTIFICATE', production.certificate.raw),
    );
    return path;
  };
  files.root = join(folder, 'root.pem');
  files.intermediate = join(folder, 'production.pem');
  await writeFile(files.root, encodePem('CERTIFICATE', root.certificate.raw));
  await writeFile(files.intermediate, encodePem('CERTIFICATE', production.certificate.raw));

  const orders: Readonly<Record<string, object>> = {
    named: { spiffeId: payments, dns: ['a.prod.internal', 'b.prod.internal'] },
    'named with address': {
      spiffeId: payments,
      dns: ['a.prod.internal'],
      ip: ['10.0.0.1', '2001:db8::1'],
    },
    'spiffe id alone': { spiffeId: payments },
    'of 20 seconds': { spiffeId: payments, ttlMs: 20_000 },
  };
  const csr = await request({ key: service });
  for (const [what, order] of Object.entries(orders)) {
    const issued = issuedOf(await authority.issue({ csr, ...order }));
    files.good.set(what, await chain(`good-${files.good.size}.pem`, issued.chain[0]));
  }
  const own = issuedOf(await authority.issueOwn({ csr: await request(), ip: ['127.0.0.1'] }));
  files.good.set("the authority's own", await chain('own.pem', own.chain[0]));

  const [named] = files.good.keys();
  const twin = issuedOf(await authority.issue({ csr, ...orders[named ?? ''] })).chain[0];
  for (const [what, der] of await mutatedTwins(twin, csr, production.certificate, signer)) {
    files.bad.set(what, await chain(`bad-${files.bad.size}.pem`, der));
  }
}

/** What only a broken or dishonest authority would sign, and what a thief would change. */
async function mutatedTwins(
  good: Uint8Array,
  csr: Uint8Array,
  issuer: Certificate,
  signer: Signer,
): Promise<Map<string, Uint8Array>> {
  const flipped = (at: number) => good.map((octet, index) => (index === at ? octet ^ 1 : octet));
  const { raw, tbs, ...leaf } = parseCertificate(good);
  const { spki } = parseCertificateRequest(csr);
  const signed = (over: object, dns = 'a.prod.internal') =>
    signCertificate(
      {
        serial: leaf.serial,
        issuer: issuer.subject,
        subject: leaf.subject,
        notBefore: leaf.notBefore,
        notAfter: leaf.notAfter,
        spki,
        extensions: [
          ...leaf.extensions.filter(({ oid }) => oid !== '2.5.29.17'),
          extension.subjectAltName([{ kind: 'dns', value: dns }]),
        ],
        ...over,
      },
      signer,
    );
  assert.ok(raw.byteLength > tbs.byteLength && keyIdOf(spki).byteLength === 20);
  return new Map([
    ['another signature', flipped(good.length - 3)],
    ['another serial', flipped(30)],
    ['a name that is not permitted', await signed({}, 'a.elsewhere.example')],
    ['a name that is excluded', await signed({}, 'a.secret.prod.internal')],
    [
      'an end in the past',
      await signed({ notBefore: Date.now() - 7_200_000, notAfter: Date.now() - 3_600_000 }),
    ],
    [
      'a beginning in the future',
      await signed({ notBefore: Date.now() + 3_600_000, notAfter: Date.now() + 7_200_000 }),
    ],
  ]);
}

function run(
  tool: string,
  args: readonly string[],
  timeout = 20_000,
): { ok: boolean; text: string } {
  const { status, stdout, stderr } = spawnSync(tool, args, { encoding: 'utf8', timeout });
  return { ok: status === 0, text: `${stdout}${status === 0 ? '' : stderr}` };
}
