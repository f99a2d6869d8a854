import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import { ephemeralAuthority, keepSuperior, parseCaConfig } from '@countersign/ca';
import { type MotoPca, pcaSdk, startMotoPca } from '../../../test/moto-pca.ts';
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

// moto knows no template of a subordinate, and makes key identifiers of its own: both must be found out.
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
