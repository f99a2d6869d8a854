import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { noLog, noMeter, Secret, systemClock } from '@countersign/base';
import { type StepCaServer, startStepCa, stepCaMissing } from '@countersign/testkit';
import { issuerSuite } from '../issuer.suite.ts';
import { openIssued } from '../open-issued.ts';
import { type StepCaCredential, stepCaIssuer } from './step-ca-issuer.ts';

const skip = stepCaMissing();
let stepCa: StepCaServer;
before(async () => {
  if (skip === false) stepCa = await startStepCa();
});
after(() => stepCa?.stop());

const names = {
  spiffeId: 'spiffe://example.com/ns/prod/sa/payments',
  dns: ['payments.example.com'],
  ip: ['127.0.0.1'],
};

const issuerOf = (
  more: { url?: string; credential?: StepCaCredential; fingerprint?: string } = {},
) =>
  stepCaIssuer({
    ...{ url: stepCa.url, fingerprint: stepCa.fingerprint, clock: systemClock },
    credential: { provisioner: 'payments', keyFile: stepCa.keyFile },
    ...more,
  });

issuerSuite(
  'step-ca',
  async () => ({
    issuer: () => issuerOf(),
    away: () => issuerOf({ url: 'https://127.0.0.1:9' }),
    names,
    refused: { ...names, dns: ['payments.example.org'] },
    refusal: /sign at step-ca at ".*it answers 403: .*"payments\.example\.org" not allowed/,
  }),
  { skip },
);

async function open(t: TestContext, issuer = issuerOf()) {
  const live = await openIssued({
    ...{ issuer, names, clock: systemClock, log: noLog, meter: noMeter },
  });
  t.after(() => live.stop());
  return live;
}

test('step-ca: a token that is none is refused, and what there is renews without one', {
  skip,
}, async (t) => {
  const token = async () => new Secret('ey.no.token');
  const withToken = issuerOf({ credential: { token } });
  await assert.rejects(open(t, withToken), {
    code: 'ERR_ISSUER_REFUSED',
    message: /sign at step-ca .* it answers 401/,
  });
  const maker = issuerOf();
  let isFirst = true;
  const live = await open(t, {
    title: 'step-ca',
    issue: (order) => {
      const issuer = isFirst ? maker : withToken;
      isFirst = false;
      return issuer.issue(order);
    },
  });
  const { serialHex } = live.svid();
  await live.renewNow();
  assert.notEqual(live.svid().serialHex, serialHex);
});

test("step-ca: the encrypted key of step's own example makes tokens", { skip }, async (t) => {
  const { exampleKeyFile } = stepCa;
  if (exampleKeyFile === undefined) return t.skip("no source of step-ca's example");
  const withPassword = (text: string): StepCaCredential => ({
    ...{ provisioner: 'example', keyFile: exampleKeyFile },
    password: async () => new Secret(text),
  });
  const live = await open(t, issuerOf({ credential: withPassword('password') }));
  assert.equal(live.svid().spiffeId.toString(), names.spiffeId);
  await assert.rejects(open(t, issuerOf({ credential: withPassword('wrong') })), {
    code: 'ERR_ISSUER_SECRET',
    message: /the password does not open it$/,
  });
  const none: StepCaCredential = { provisioner: 'example', keyFile: exampleKeyFile };
  await assert.rejects(open(t, issuerOf({ credential: none })), {
    message: /is encrypted, and no password is given$/,
  });
});

test('step-ca: another root than the pinned one ends it before a token is made', {
  skip,
}, async (t) => {
  const other = issuerOf({ fingerprint: '00'.repeat(32) });
  await assert.rejects(open(t, other), { code: 'ERR_ISSUER_REFUSED', message: /read the root/ });
  const wrong = join(stepCa.directory, 'wrong.jwk');
  await writeFile(wrong, '{}', { mode: 0o600 });
  const credential = { provisioner: 'payments', keyFile: wrong };
  await assert.rejects(open(t, issuerOf({ credential })), {
    code: 'ERR_ISSUER_SECRET',
    message: /is no private JWK$/,
  });
});
