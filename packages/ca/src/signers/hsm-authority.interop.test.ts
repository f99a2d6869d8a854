import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { serialHexOf } from '@countersign/x509';
import { issuedOf, leafOf, payments, request } from '../../test/authority-under-test.ts';
import { makeSoftToken, softModule } from '../../test/soft-token.ts';
import { type CaConfig, parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { auditLedger } from '../ledger/audit-ledger.ts';
import { openAuthority } from '../open-authority.ts';
import { stateLayout } from '../state-layout.ts';
import { pkcs11Store } from './pkcs11/pkcs11-store.ts';
import { secretReader } from './secret-source.ts';

const module = softModule();
const skip = 'missing' in module && module.missing;
const token = 'path' in module ? makeSoftToken(module.path, 'issuing') : undefined;
const folder = mkdtempSync(join(tmpdir(), 'countersign-hsm-test-'));
after(() => {
  token?.remove();
  rmSync(folder, { recursive: true, force: true });
});

const pinFile = join(folder, 'pin');
if (token !== undefined) writeFileSync(pinFile, `${token.pin}\n`, { mode: 0o600 });
const parts = { clock: systemClock, log: noLog, meter: noMeter };

function configOf(options: { intermediate?: string } = {}): CaConfig {
  return parseCaConfig(
    `
ca:
  hsm: { module: ${token?.module}, token_label: issuing, pin: "@${pinFile}", timeout: 5s }
  root: { algorithm: RSA, keySize: 2048, storage: HSM }
  intermediate:
    production: { algorithm: ECDSA, curve: P-256, ${options.intermediate ?? 'storage: HSM'} }
service_certificates:
  san_policies: { spiffe_trust_domain: example.com }
`,
    'ca.yaml',
  );
}

test('an authority in a token loses it in mid-flight, says so, loses no certificate and goes on', {
  skip,
}, async () => {
  const data = join(folder, 'state');
  const config = configOf();
  const { keyFile } = await initAuthority({ config, data, ...parts });
  assert.equal(keyFile, undefined);
  const kept = JSON.parse(readFileSync(stateLayout(data).rootKey, 'utf8'));
  assert.equal(kept.store, 'pkcs11');
  assert.ok(!JSON.stringify(kept).includes(token?.pin ?? ''));

  const authority = await openAuthority({ config, data, ...parts });
  const issue = async () => authority.issue({ csr: await request(), spiffeId: payments });
  const serials = [serialHexOf(leafOf(await issue()).serial)];
  assert.equal(authority.unwell(), undefined);

  // pulled while requests are under way
  const tokens = token?.tokens ?? '';
  const away = `${tokens}.away`;
  renameSync(tokens, away);
  const outcomes = await Promise.allSettled(Array.from({ length: 5 }, issue));
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') serials.push(issuedOf(outcome.value).serialHex);
    else assert.match(outcome.reason.code, /^ERR_SIGNER_TOKEN_(?:LOST|FAILED)$/);
  }
  await assert.rejects(issue, { code: 'ERR_SIGNER_TOKEN_LOST' });
  for (let i = 0; i < 200 && authority.unwell() === undefined; i += 1) await systemClock.sleep(10);
  assert.match(authority.unwell() ?? '', /token "issuing": it is away/);
  assert.deepEqual(await authority.ledger.openIntents(), []);

  // back again
  renameSync(away, tokens);
  await systemClock.sleep(1100);
  serials.push(issuedOf(await issue()).serialHex);
  const { findings, openIntents } = await auditLedger(authority.ledger, { serials });
  assert.deepEqual([findings, openIntents], [[], 0]);
  await authority.close();
});

test('an init that fails after it made a key takes it out of the token again', {
  skip,
}, async () => {
  const own = 'storage: HSM, hsm: { module: "/no/such/module.so", token_label: x, pin_env: NONE }';
  const data = join(folder, 'half');
  const before = keysInToken();
  await assert.rejects(initAuthority({ config: configOf({ intermediate: own }), data, ...parts }), {
    code: 'ERR_SIGNER_MODULE',
  });
  assert.equal(keysInToken(), before);
});

test('keys are looked for where ca.yaml says, and nowhere else', { skip }, async () => {
  const data = join(folder, 'moved');
  await initAuthority({ config: configOf(), data, ...parts });
  const config = configOf({ intermediate: 'storage: file' });
  await assert.rejects(openAuthority({ config, data, ...parts }), {
    code: 'ERR_STATE_CONFIG',
    message: 'key of "production" is configured in storage "file", the state has it in "pkcs11"',
  });
});

test('a hierarchy may have its root in a token and its intermediates in files', {
  skip,
}, async () => {
  const data = join(folder, 'mixed');
  const config = configOf({ intermediate: 'storage: file' });
  const { keyFile } = await initAuthority({ config, data, ...parts });
  assert.ok(keyFile !== undefined);
  const authority = await openAuthority({ config, data, ...parts });
  issuedOf(await authority.issue({ csr: await request(), spiffeId: payments }));
  await authority.close();
});

test('a PIN is read again from its file when it was put right', { skip }, async () => {
  const file = join(folder, 'other-pin');
  writeFileSync(file, 'not the pin');
  const pin = secretReader({ from: 'file', path: file }, { env: {} }, 'PIN');
  const options = { module: token?.module ?? '', label: 'issuing', pin };
  const store = pkcs11Store({ ...options, clock: systemClock, log: noLog });
  const p256 = { type: 'EC', curve: 'P-256' } as const;
  await assert.rejects(store.generate(p256, 'root'), { code: 'ERR_SIGNER_TOKEN_PIN' });
  writeFileSync(file, `${token?.pin}\n`);
  await systemClock.sleep(1100);
  await store.discard(await store.generate(p256, 'root'));
  await store.close();
});

/** SoftHSM2 keeps each object in a file. */
function keysInToken(): number {
  const files = readdirSync(token?.tokens ?? '', { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.object')).length;
}
