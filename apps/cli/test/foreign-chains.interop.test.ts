import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { decodePem, encodePem } from '@countersign/x509';

const cli = join(import.meta.dirname, '..', 'bin', 'countersign.js');
const goVerifier = join(import.meta.dirname, 'foreign', 'verify-chain.go');
const spiffeId = 'spiffe://example.com/ns/prod/sa/payments';
const dns = 'payments.prod.example.com';

const servicePolicy = `  validity: 1h
  max_validity: 24h
  san_policies:
    require_spiffe: true
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ['*.prod.example.com']
    allow_ip_san: true
`;

const hierarchies: Readonly<Record<string, string>> = {
  'ECDSA throughout, with name constraints': `
ca:
  root: { algorithm: ECDSA, curve: P-384, validity: 87600h, storage: file, pathLenConstraint: 1 }
  intermediate:
    services:
      algorithm: ECDSA
      curve: P-256
      validity: 8760h
      pathLenConstraint: 0
      nameConstraints: { permitted: [.prod.example.com], excluded: [.secret.prod.example.com] }
service_certificates:
  algorithm: ECDSA
  curve: P-256
${servicePolicy}`,
  'RSA throughout': `
ca:
  root: { algorithm: RSA, keySize: 3072, validity: 87600h, storage: file, pathLenConstraint: 1 }
  intermediate:
    services: { algorithm: RSA, keySize: 2048, validity: 8760h, pathLenConstraint: 0 }
service_certificates:
  algorithm: RSA
  keySize: 2048
  required_extensions:
    - keyUsage: [digitalSignature, keyEncipherment]
    - extKeyUsage: [serverAuth, clientAuth]
${servicePolicy}`,
  'ECDSA P-521 root, Ed25519 leaves': `
ca:
  root: { algorithm: ECDSA, curve: P-521, validity: 87600h, storage: file, pathLenConstraint: 1 }
  intermediate:
    services: { algorithm: ECDSA, curve: P-256, validity: 8760h, pathLenConstraint: 0 }
service_certificates:
  algorithm: Ed25519
${servicePolicy}`,
};

interface Verifier {
  readonly name: string;
  /** Why it cannot be asked here, or undefined. */
  readonly absent: string | undefined;
  /** Whether it accepts the chain (leaf first, without the root) under the anchor. */
  accepts(chain: string, anchors: string): { accepted: boolean; said: string };
}

const verifiers: readonly Verifier[] = [
  {
    name: 'countersign verify',
    absent: undefined,
    accepts: (chain, anchors) => ran(process.execPath, [cli, 'verify', '--bundle', anchors, chain]),
  },
  {
    name: 'openssl verify',
    absent: found('openssl', ['version']),
    accepts: (chain, anchors) =>
      ran('openssl', ['verify', '-x509_strict', '-CAfile', anchors, '-untrusted', chain, chain]),
  },
  {
    name: 'certtool --verify-chain',
    absent: found('certtool', ['--version']),
    accepts(chain, anchors) {
      const whole = `${chain}.with-root`;
      writeFileSync(whole, readFileSync(chain, 'utf8') + readFileSync(anchors, 'utf8'));
      const { accepted, said } = ran('certtool', ['--verify-chain', '--infile', whole]);
      return { accepted: accepted && /Verified\. The certificate is trusted/.test(said), said };
    },
  },
  {
    name: 'Go crypto/x509',
    absent: found('go', ['version']),
    accepts(chain, roots) {
      const request = JSON.stringify({ chain, roots, uri: spiffeId, dns });
      const { said } = ran(goBinary(), [], `${request}\n`);
      return { accepted: said.trim() === 'ok', said };
    },
  },
];

let scratch = '';
before(() => {
  scratch = mkdtempSync(join(tmpdir(), 'countersign-foreign-'));
});
after(() => rmSync(scratch, { recursive: true, force: true }));

for (const [title, config] of Object.entries(hierarchies)) {
  describe(title, () => {
    let out = '';
    before(() => {
      const home = join(scratch, title.replace(/\W+/g, '-'));
      mkdirSync(home);
      writeFileSync(join(home, 'ca.yaml'), config);
      out = join(home, 'payments');
      const state = join(home, 'state');
      countersign('init', '--config', join(home, 'ca.yaml'), '--data', state);
      countersign('issue', '--data', state, '--spiffe-id', spiffeId, '--dns', dns, '--out', out);
    });

    for (const verifier of verifiers) {
      const skip = verifier.absent ?? false;
      test(`${verifier.name} accepts the chain`, { skip }, () => {
        const { accepted, said } = verifier.accepts(
          join(out, 'chain.pem'),
          join(out, 'bundle.pem'),
        );
        assert.equal(accepted, true, said);
      });
      test(`${verifier.name} refuses each mutated twin`, { skip }, () => {
        for (const [what, path] of mutatedTwins(join(out, 'chain.pem'))) {
          const { accepted, said } = verifier.accepts(path, join(out, 'bundle.pem'));
          assert.equal(accepted, false, `${what} was accepted: ${said}`);
        }
      });
    }

    const zlint = zlintBinary();
    test('zlint reports no error on RFC sources', {
      skip: zlint === undefined ? 'zlint is not installed' : false,
    }, () => {
      for (const [index, { bytes }] of [
        ...blocks(join(out, 'chain.pem')),
        ...blocks(join(out, 'bundle.pem')),
      ].entries()) {
        const path = join(out, `lint-${index}.pem`);
        writeFileSync(path, encodePem('CERTIFICATE', bytes));
        const sources = 'RFC3279,RFC5280,RFC5480,RFC5891,RFC6962,RFC8813';
        const results = JSON.parse(
          execFileSync(zlint ?? '', ['-includeSources', sources, path], { encoding: 'utf8' }),
        ) as Record<string, { result: string }>;
        const failed = Object.entries(results).filter(
          ([, { result }]) => result === 'error' || result === 'fatal',
        );
        assert.deepEqual(failed, [], `certificate ${index} of the chain`);
        assert.ok(
          Object.values(results).some(({ result }) => result === 'pass'),
          'no lint applied at all',
        );
      }
    });
  });
}

/** For every certificate of the chain: one bit of its signature flipped, one bit of its signed part flipped. */
function* mutatedTwins(chain: string): Generator<[string, string]> {
  const certificates = blocks(chain).map(({ bytes }) => bytes);
  for (const [index, bytes] of certificates.entries()) {
    // The serial's last octet (after SEQUENCE, SEQUENCE, version, INTEGER header) is signed but breaks no grammar.
    const serialEnd = serialEndOf(bytes);
    for (const [what, offset] of [
      ['signature', bytes.length - 1],
      ['serial', serialEnd],
    ] as const) {
      const twin = certificates.map((each, i) => (i === index ? flipped(each, offset) : each));
      const path = `${chain}.twin-${index}-${what}`;
      writeFileSync(path, twin.map((each) => encodePem('CERTIFICATE', each)).join(''));
      yield [`certificate ${index} with a flipped bit in its ${what}`, path];
    }
  }
}

function serialEndOf(der: Uint8Array): number {
  const afterOuter = 2 + ((der[1] ?? 0) > 0x80 ? (der[1] ?? 0) - 0x80 : 0);
  const tbsLength = der[afterOuter + 1] ?? 0;
  const afterTbs = afterOuter + 2 + (tbsLength > 0x80 ? tbsLength - 0x80 : 0);
  const serialHeader = afterTbs + 5;
  assert.equal(der[serialHeader], 0x02, 'the serial INTEGER stands after the version');
  return serialHeader + 1 + (der[serialHeader + 1] ?? 0);
}

function flipped(bytes: Uint8Array, offset: number): Uint8Array {
  const copy = new Uint8Array(bytes);
  copy[offset] = (copy[offset] ?? 0) ^ 1;
  return copy;
}

function blocks(path: string): { label: string; bytes: Uint8Array }[] {
  return decodePem(readFileSync(path, 'utf8'));
}

function countersign(...args: string[]): string {
  return execFileSync(process.execPath, [cli, ...args], { encoding: 'utf8', timeout: 60_000 });
}

function ran(command: string, args: string[], input = ''): { accepted: boolean; said: string } {
  const done = spawnSync(command, args, { encoding: 'utf8', input, timeout: 120_000 });
  return { accepted: done.status === 0, said: `${done.stdout}${done.stderr}` };
}

function found(command: string, args: string[]): string | undefined {
  const done = spawnSync(command, args, { stdio: 'ignore' });
  return done.error === undefined && done.status === 0 ? undefined : `${command} is not installed`;
}

let goBuilt: string | undefined;
function goBinary(): string {
  if (goBuilt === undefined) {
    const path = join(scratch, 'verify-chain');
    execFileSync('go', ['build', '-o', path, goVerifier], {
      timeout: 300_000,
      env: { ...process.env, GOFLAGS: '-mod=mod' },
    });
    goBuilt = path;
  }
  return goBuilt;
}

function zlintBinary(): string | undefined {
  if (found('zlint', ['-version']) === undefined) return 'zlint';
  const goPath =
    spawnSync('go', ['env', 'GOPATH'], { encoding: 'utf8' }).stdout?.trim() ||
    join(homedir(), 'go');
  const path = join(goPath, 'bin', 'zlint');
  return existsSync(path) ? path : undefined;
}
