import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { noLog, noMeter, systemClock } from '@countersign/base';
import {
  buildName,
  type Certificate,
  encodePem,
  extension,
  type GeneralName,
  type Name,
  parseCertificate,
  parseIpAddress,
  type Signer,
  signCertificate,
  validatePath,
} from '@countersign/x509';
import { issuedOf, request } from '../test/authority-under-test.ts';
import { createHierarchy } from './hierarchy.ts';
import { Authority, parseCaConfig } from './index.ts';
import { makeIssuers } from './issuer.ts';
import { memoryLedger } from './ledger/memory-ledger.ts';
import { memoryKeyStores } from './signers/key-stores.ts';

const go = join(fileURLToPath(new URL('../test', import.meta.url)), 'verify-chain.go');
const lacks = (tool: string, ...args: string[]): string | false =>
  spawnSync(tool, args, { timeout: 10_000 }).status === 0 ? false : `${tool} is not installed`;
const skip = { openssl: lacks('openssl', 'version'), go: lacks('go', 'version') } as const;
for (const reason of Object.values(skip))
  if (reason !== false) process.stderr.write(`skipped: ${reason}\n`);

const spiffeId = 'spiffe://example.com/ns/web/sa/a';
const dns = (value: string): GeneralName => ({ kind: 'dns', value });
const uri = (value: string): GeneralName => ({ kind: 'uri', value });
const ip = (text: string): GeneralName => ({ kind: 'ip', bytes: parseIpAddress(text)! });
const email = (value: string): GeneralName => ({ kind: 'email', value });

/** What only a dishonest authority would sign: the names, and the subject. */
const outside: readonly (readonly [string, readonly GeneralName[], Name?])[] = [
  ['a DNS name of no level', [dns('a.us.internal')]],
  ['a DNS name that the level above excludes', [dns('a.secret.eu.internal')]],
  ['an address of no level', [ip('11.0.0.1')]],
  ['an address that the level above excludes', [ip('10.66.0.1')]],
  ['a SPIFFE ID of another trust domain', [uri('spiffe://other.example/a')]],
  ['a mail address of another domain', [email('a@us.example')]],
  [
    'a subject of another country',
    [dns('a.eu.internal')],
    buildName([
      { type: 'C', value: 'US' },
      { type: 'CN', value: 'a b' },
    ]),
  ],
];

// Go refuses every chain with constraints on directory names: it does not know that kind, and it is critical.
for (const withDirectory of [true, false]) {
  describe(`two levels ${withDirectory ? 'with' : 'without'} constraints on directory names`, () => {
    let folder: string;
    const files = { root: '', intermediates: '', good: '', bad: new Map<string, string>() };
    let world: World;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'countersign-levels-'));
      world = await makeWorld(withDirectory);
      const pem = (name: string, ...all: Uint8Array[]) => {
        const path = join(folder, `${name}.pem`);
        return writeFile(path, all.map((der) => encodePem('CERTIFICATE', der)).join('')).then(
          () => path,
        );
      };
      files.root = await pem('root', world.root.raw);
      files.intermediates = await pem(
        'intermediates',
        ...world.intermediates.map(({ raw }) => raw),
      );
      files.good = await pem('good', world.good);
      for (const [index, [what, der]] of [...world.bad].entries()) {
        files.bad.set(what, await pem(`bad-${index}`, der));
      }
    });
    after(() => rm(folder, { recursive: true }));

    it('are accepted by our own verifier, names outside refused', () => {
      const verify = (der: Uint8Array) =>
        validatePath({
          leaf: parseCertificate(der),
          intermediates: world.intermediates,
          anchors: [world.root],
          at: Date.now(),
        });
      const good = verify(world.good);
      assert.ok(good.ok, good.ok ? '' : good.detail);
      for (const [what, der] of world.bad) assert.ok(!verify(der).ok, `${what} was accepted`);
    });

    it('are accepted by openssl, names outside refused', { skip: skip.openssl }, () => {
      const verify = (leaf: string) =>
        run('openssl', [
          ...['verify', '-x509_strict', '-purpose', 'sslserver'],
          ...['-CAfile', files.root, '-untrusted', files.intermediates, leaf],
        ]);
      assert.ok(verify(files.good).ok, verify(files.good).text);
      for (const [what, leaf] of files.bad) assert.ok(!verify(leaf).ok, `${what} was accepted`);
    });

    it('are judged by go as it knows them', { skip: skip.go, timeout: 120_000 }, () => {
      const leaves = [files.good, ...files.bad.values()];
      const { text } = run('go', ['run', go, files.root, files.intermediates, ...leaves], 110_000);
      const [good, ...bad] = text.trim().split('\n');
      assert.equal(bad.length, files.bad.size, text);
      assert.equal(good === 'ok', !withDirectory, text);
      for (const [index, what] of [...files.bad.keys()].entries()) {
        assert.notEqual(bad[index], 'ok', `${what} was accepted`);
      }
    });
  });
}

interface World {
  readonly root: Certificate;
  readonly intermediates: readonly Certificate[];
  readonly good: Uint8Array;
  readonly bad: ReadonlyMap<string, Uint8Array>;
}

async function makeWorld(withDirectory: boolean): Promise<World> {
  const directory = withDirectory ? ', { directory: { country: DE } }' : '';
  const yaml = `
ca:
  root: { curve: P-384 }
  intermediate:
    web: { issuer: europe, curve: P-256, subject: { country: DE, commonName: web } }
    europe:
      algorithm: RSA
      keySize: 2048
      subject: { country: DE, commonName: europe }
      policies: [2.5.29.32.0]
      nameConstraints:
        permitted: [eu.internal, 10.0.0.0/8, "uri:example.com", "email:eu.example"${directory}]
        excluded: [secret.eu.internal, 10.66.0.0/16]
service_certificates:
  san_policies: { spiffe_trust_domain: example.com, allowed_dns_patterns: ["**.internal"], allow_ip_san: true }
`;
  const config = parseCaConfig(yaml, 'ca.yaml');
  const clock = systemClock;
  const ledger = memoryLedger({ clock });
  const made = await createHierarchy({ config, ledger, stores: memoryKeyStores(), clock });
  const issuers = makeIssuers(made.intermediates, made.root.certificate, config);
  const parts = { root: made.root.certificate, issuers, ledger, orphans: 0 };
  const authority = new Authority({ config, ...parts, clock, log: noLog, meter: noMeter });
  const order = { spiffeId, dns: ['a.eu.internal'], ip: ['10.1.0.1'] };
  const [good] = issuedOf(await authority.issue({ csr: await request(), ...order })).chain;
  const web = made.intermediates.find(({ name }) => name === 'web');
  assert.ok(web !== undefined);
  const bad = new Map<string, Uint8Array>();
  for (const [what, names, subject] of outside) {
    if (subject !== undefined && !withDirectory) continue;
    bad.set(what, await twin(good, names, subject, web));
  }
  const intermediates = made.intermediates.map(({ certificate }) => certificate);
  return { root: made.root.certificate, intermediates, good, bad };
}

/** The same certificate with other names, signed by the same key. */
function twin(
  good: Uint8Array,
  names: readonly GeneralName[],
  subject: Name | undefined,
  issuer: { readonly certificate: Certificate; readonly signer: Signer },
): Promise<Uint8Array> {
  const { raw: _, ...leaf } = parseCertificate(good);
  const isEmpty = subject === undefined;
  return signCertificate(
    {
      serial: leaf.serial,
      issuer: issuer.certificate.subject,
      subject: subject ?? leaf.subject,
      notBefore: leaf.notBefore,
      notAfter: leaf.notAfter,
      spki: leaf.spki,
      extensions: [
        ...leaf.extensions.filter(({ oid }) => oid !== '2.5.29.17'),
        extension.subjectAltName(names, isEmpty),
      ],
    },
    issuer.signer,
  );
}

function run(
  tool: string,
  args: readonly string[],
  timeout = 20_000,
): { ok: boolean; text: string } {
  const { status, stdout, stderr } = spawnSync(tool, args, { encoding: 'utf8', timeout });
  return { ok: status === 0, text: `${stdout}${status === 0 ? '' : stderr}` };
}
