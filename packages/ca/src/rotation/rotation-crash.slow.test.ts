import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import type { RotationResponse, RotationStep } from '@countersign/wire';
import { parseCertificate, validatePath } from '@countersign/x509';
import { attemptRotation } from '../../test/attempt-rotation.ts';
import { issuedOf, request } from '../../test/authority-under-test.ts';
import type { Authority } from '../authority.ts';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { auditLedger } from '../ledger/audit-ledger.ts';
import { verifyAudit } from '../ledger/verify-audit.ts';
import { openAuthority } from '../open-authority.ts';
import { takeRotationStep } from './take-rotation-step.ts';

const yaml = `
ca:
  root: { curve: P-256 }
  intermediate:
    europe: { curve: P-256 }
    web: { issuer: europe, curve: P-256 }
    rest: { curve: P-256 }
service_certificates:
  san_policies: { spiffe_trust_domain: example.com }
`;
const config = parseCaConfig(yaml, 'ca.yaml');
const spiffeId = 'spiffe://example.com/ns/prod/sa/payments';

/** Each step of a rotation, from a state that the steps before it have made. */
const stories: readonly {
  readonly authority: string;
  readonly steps: readonly RotationStep[];
  readonly last: RotationStep;
  readonly leaves: string;
}[] = [
  { authority: 'root', steps: [], last: 'prepare', leaves: 'prepared' },
  { authority: 'root', steps: ['prepare'], last: 'activate', leaves: 'active' },
  { authority: 'root', steps: ['prepare', 'activate'], last: 'retire', leaves: 'steady' },
  { authority: 'root', steps: ['prepare', 'activate'], last: 'rollback', leaves: 'prepared' },
  { authority: 'root', steps: ['prepare'], last: 'rollback', leaves: 'steady' },
  { authority: 'europe', steps: [], last: 'prepare', leaves: 'prepared' },
  { authority: 'europe', steps: ['prepare'], last: 'activate', leaves: 'active' },
];

describe('a rotation that is killed at each step', () => {
  let home = '';
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'countersign-rotation-'));
    const data = join(home, 'fresh');
    const shared = { clock: systemClock, log: noLog };
    await initAuthority({ config, data, configText: yaml, ...shared });
    await writeFile(join(data, 'ca.yaml'), yaml);
  });
  after(() => rm(home, { recursive: true, force: true }));

  for (const { authority, steps, last, leaves } of stories) {
    const from = steps.length === 0 ? 'nothing' : steps.join(' and ');
    it(`goes on with ${last} of "${authority}" after ${from}`, { timeout: 300_000 }, async (t) => {
      const base = await copy('fresh', `${authority}-${[...steps, last].join('-')}`);
      for (const step of steps) await run(base, step, authority);
      let kills = 0;
      for (let n = 1; ; n += 1) {
        const ended: boolean[] = [];
        for (const when of ['before', 'after'] as const) {
          const work = `${base}-killed`;
          await cp(base, work, { recursive: true });
          const killed = await attemptRotation(work, [last, authority, when, String(n)]);
          ended.push(killed.signal === null);
          if (killed.signal !== null) kills += 1;
          const { state, generations } = await goOn(work, last, authority);
          assert.equal(state, leaves);
          assert.ok(generations.length <= 2, `${generations.length} generations`);
          await rm(work, { recursive: true });
        }
        if (ended.every(Boolean)) break;
      }
      t.diagnostic(`${kills} kills`);
      assert.ok(kills >= 2);
    });
  }

  async function copy(name: string, as: string): Promise<string> {
    await cp(join(home, name), join(home, as), { recursive: true });
    return join(home, as);
  }
});

/** Whatever was left, it issues what holders of the bundle accept; then the step is taken, and it does so again. */
async function goOn(data: string, step: RotationStep, name: string): Promise<RotationResponse> {
  const shared = { clock: systemClock, log: noLog, meter: noMeter };
  const authority = await openAuthority({ config, data, ...shared });
  try {
    await provesWhole(authority);
    const request = { step, authority: name, force: true };
    const taken = await takeRotationStep(authority.rotation, request);
    assert.ok(taken.ok, taken.ok ? '' : `${taken.code}: ${taken.detail}`);
    await provesWhole(authority);
    return taken;
  } finally {
    await authority.close();
  }
}

async function provesWhole(authority: Authority): Promise<void> {
  for (const issuer of ['web', 'rest']) {
    const { chain } = issuedOf(await authority.issue({ csr: await request(), spiffeId, issuer }));
    const [leaf, ...intermediates] = chain.map((der) => parseCertificate(der));
    for (const [i, anchor] of authority.bundle().authorities.entries()) {
      const path = validatePath({ leaf: leaf!, intermediates, anchors: [anchor], at: Date.now() });
      // Who has the newer root has the older one, too.
      assert.ok(path.ok || i > 0, path.ok ? '' : path.detail);
    }
  }
  assert.deepEqual((await verifyAudit(authority.ledger)).findings, []);
  assert.deepEqual((await auditLedger(authority.ledger)).findings, []);
  assert.deepEqual(await authority.ledger.openIntents(), []);
}

async function run(data: string, step: RotationStep, authority: string): Promise<RotationResponse> {
  const { signal, stdout, stderr } = await attemptRotation(data, [step, authority]);
  assert.equal(signal, null, stderr);
  const answer = JSON.parse(stdout === '' ? '{}' : stdout);
  assert.equal(answer.ok, true, `${step}: ${stdout} ${stderr}`);
  return answer;
}
