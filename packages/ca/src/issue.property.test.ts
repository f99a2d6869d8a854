import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import {
  generateKeyPair,
  keySigner,
  type NameConstraints,
  parseCertificate,
  validatePath,
} from '@countersign/x509';
import fc from 'fast-check';
import { request } from '../test/authority-under-test.ts';
import { createHierarchy } from './hierarchy.ts';
import { Authority, type CaConfig, parseCaConfig } from './index.ts';
import { makeIssuers } from './issuer.ts';
import { memoryLedger } from './ledger/memory-ledger.ts';
import { memoryKeyStores } from './signers/key-stores.ts';

const labels = fc.constantFrom('a', 'b', 'prod', 'lab');
const domain = fc.array(labels, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.'));
const constraints = fc.record({
  permitted: fc.array(domain, { maxLength: 2 }),
  excluded: fc.array(domain, { maxLength: 2 }),
});

let csr: Uint8Array;
before(async () => {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  csr = await request({ signer: keySigner(privateKey) });
});

function subtreesOf(
  written:
    | { readonly permitted: readonly string[]; readonly excluded: readonly string[] }
    | undefined,
): NameConstraints | undefined {
  const of = (names: readonly string[]) =>
    names.map((value) => ({ base: { kind: 'dns', value } as const }));
  return written && { permitted: of(written.permitted), excluded: of(written.excluded) };
}

async function authorityOf(
  written: readonly {
    readonly permitted: readonly string[];
    readonly excluded: readonly string[];
  }[],
): Promise<Authority> {
  const base = parseCaConfig(
    `ca: { root: { curve: P-256 }, intermediate: { one: {}, two: {} } }
service_certificates:
  san_policies: { spiffe_trust_domain: example.com, allowed_dns_patterns: ["*"] }
`,
    'ca.yaml',
  );
  const intermediates = base.intermediates.map((each, index) => ({
    ...each,
    constraints: subtreesOf(written[index]) ?? each.constraints,
  }));
  const config: CaConfig = { ...base, intermediates };
  const clock = systemClock;
  const ledger = memoryLedger({ clock });
  const { root, intermediates: pairs } = await createHierarchy({
    config,
    ledger,
    stores: memoryKeyStores(),
    clock,
  });
  const issuers = makeIssuers(pairs, root.certificate, config);
  return new Authority({
    config,
    root: root.certificate,
    issuers,
    ledger,
    orphans: 0,
    clock,
    log: noLog,
    meter: noMeter,
  });
}

it('no certificate is issued outside the constraints of its issuer, and none inside is refused', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(constraints, constraints),
      fc.array(fc.array(domain, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 6 }),
      async (written, orders) => {
        const authority = await authorityOf(written);
        for (const dns of orders) {
          const outcome = await authority.issue({ csr, spiffeId: 'spiffe://example.com/a', dns });
          const admitting = written.findIndex(({ permitted, excluded }) =>
            dns.every(
              (name) =>
                !excluded.some((each) => isBelow(name, each)) &&
                (permitted.length === 0 || permitted.some((each) => isBelow(name, each))),
            ),
          );
          assert.equal(outcome.ok, admitting !== -1, `${dns} under ${JSON.stringify(written)}`);
          if (!outcome.ok) {
            assert.equal(outcome.code, 'ERR_POLICY_NO_ISSUER');
            continue;
          }
          assert.equal(outcome.issuer, ['one', 'two'][admitting]);
          const path = validatePath({
            leaf: parseCertificate(outcome.chain[0]),
            intermediates: [parseCertificate(outcome.chain[1])],
            anchors: [authority.root],
            at: Date.now(),
            names: dns.map((name) => ({ dns: name })),
          });
          assert.ok(path.ok, path.ok ? '' : path.detail);
        }
      },
    ),
    { numRuns: 60 },
  );
});

function isBelow(name: string, base: string): boolean {
  const [own, theirs] = [name.split('.').toReversed(), base.split('.').toReversed()];
  return theirs.every((label, index) => own[index] === label);
}
