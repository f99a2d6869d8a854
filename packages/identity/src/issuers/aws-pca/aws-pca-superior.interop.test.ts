import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import { ephemeralAuthority, keepSuperior, parseCaConfig } from '@countersign/ca';
import { certificatesFromPem, formatName, parseCertificate, validatePath } from '@countersign/x509';
import { type MotoPca, pcaSdk, startMotoPca } from '../../../test/moto-pca.ts';
import { makeOwnRequest } from '../../own-request.ts';
import type { AwsPcaSdk } from './aws-pca-client.ts';
import { awsPcaSuperior } from './aws-pca-superior.ts';

const sdk = await pcaSdk();
const skip = typeof sdk === 'string' ? sdk : false;
Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'credential-4711' });
let moto: MotoPca;
before(async () => {
  if (typeof sdk !== 'string') moto = await startMotoPca(sdk);
});
after(() => moto?.stop());

const yaml = 'ca: {}\nservice_certificates: { san_policies: { spiffe_trust_domain: example.com } }';

test('an authority below AWS Private CA issues what whoever trusts that root alone accepts, and is certified again', {
  skip,
  timeout: 120_000,
}, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'aws-superior-'));
  const above = await startMotoPca(sdk as AwsPcaSdk, { knowsSubordinates: true });
  const clock = { ...systemClock, now: () => systemClock.now() + ahead };
  let ahead = 0;
  const authority = await ephemeralAuthority({ config: parseCaConfig(yaml, 'ca.yaml'), clock });
  t.after(async () => {
    await authority.close();
    above.stop();
    await rm(directory, { recursive: true, force: true });
  });
  const signer = awsPcaSuperior({
    ...{ region: 'eu-central-1', endpoint: above.url, authority: above.authority },
    ...{ load: async () => sdk as AwsPcaSdk, clock },
  });
  const file = join(directory, 'superior.pem');
  const validityMs = 365 * 86_400_000;
  const keeper = await keepSuperior({ authority, signer, validityMs, file, clock, log: noLog });
  t.after(() => keeper.stop());
  await keeper.look();
  assert.equal(keeper.unwell(), undefined);
  const kept = async () => certificatesFromPem(await readFile(file, 'utf8'));
  const [own, root] = await kept();
  assert.ok(own !== undefined && root !== undefined);
  assert.match(formatName(root.subject), /AWS root/);
  const pathLen = authority.config.root.pathLen;
  assert.deepEqual(
    [own.basicConstraints?.pathLen, own.subjectKeyId, formatName(own.subject)],
    [pathLen, authority.root.subjectKeyId, formatName(authority.root.subject)],
  );

  const { csr } = await makeOwnRequest({ type: 'EC', curve: 'P-256' });
  const created = await authority.createToken({ spiffeId: 'spiffe://example.com/ns/prod/sa/a' });
  assert.ok(created.ok);
  const issued = await authority.enrol({ csr, token: created.token });
  assert.ok(issued.ok, JSON.stringify(issued));
  const [leaf, ...intermediates] = issued.chain.map((der) => parseCertificate(der));
  assert.ok(leaf !== undefined);
  const path = validatePath({ leaf, intermediates, anchors: [root], at: clock.now() });
  assert.ok(path.ok, path.ok ? '' : path.detail);

  // A third of its life is left.
  ahead = 0.7 * validityMs;
  await keeper.look();
  const [again] = await kept();
  assert.notEqual(again?.serialHex, own.serialHex);
  assert.ok((again?.notAfter ?? 0) > own.notAfter);
});

// moto itself knows no template of a subordinate, and makes key identifiers of its own: both must be found out.
test('what AWS Private CA answers is held to what was asked, and an authority goes on without it', {
  skip,
}, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'aws-superior-'));
  const config = parseCaConfig(yaml, 'ca.yaml');
  const authority = await ephemeralAuthority({ config, clock: systemClock });
  t.after(async () => {
    await authority.close();
    await rm(directory, { recursive: true, force: true });
  });
  const cases = [
    [undefined, /AWS Private CA in eu-central-1 answered subjectKeyIdentifier "none", asked for/],
    [
      'arn:aws:acm-pca:::template/RootCACertificate/V1',
      /answered subjectKeyIdentifier "[0-9a-f]{40}", asked for was "[0-9a-f]{40}"/,
    ],
  ] as const;
  for (const [template, message] of cases) {
    const signer = awsPcaSuperior({
      ...{ region: 'eu-central-1', endpoint: moto.url, authority: moto.authority, template },
      ...{ load: async () => sdk as AwsPcaSdk, clock: systemClock },
    });
    const keeper = await keepSuperior({
      ...{ authority, signer, validityMs: 365 * 86_400_000, clock: systemClock, log: noLog },
      file: join(directory, 'superior.pem'),
    });
    await assert.rejects(keeper.look(), { code: 'ERR_SUPERIOR_ANSWER', message });
    assert.match(keeper.unwell() ?? '', /^not certified by AWS Private CA in eu-central-1: /);
    await keeper.stop();
  }
  const url = 'http://127.0.0.1:9';
  const away = awsPcaSuperior({
    ...{ region: 'eu-central-1', endpoint: url, authority: moto.authority, timeoutMs: 3000 },
    ...{ load: async () => sdk as AwsPcaSdk, clock: systemClock },
  });
  const keeper = await keepSuperior({
    ...{ authority, signer: away, validityMs: 86_400_000, clock: systemClock, log: noLog },
    file: join(directory, 'superior.pem'),
  });
  await assert.rejects(keeper.look(), { code: 'ERR_ISSUER_UNREACHABLE' });
  await keeper.stop();
});
