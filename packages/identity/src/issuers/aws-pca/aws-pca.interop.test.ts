import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { type MotoPca, pcaSdk, startMotoPca } from '../../../test/moto-pca.ts';
import { issuerSuite } from '../issuer.suite.ts';
import { openIssued } from '../open-issued.ts';
import type { AwsPcaSdk } from './aws-pca-client.ts';
import { type AwsPcaIssuerOptions, awsPcaIssuer } from './aws-pca-issuer.ts';

const sdk = await pcaSdk();
const skip = typeof sdk === 'string' ? sdk : false;
Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'credential-4711' });
let moto: MotoPca;
before(async () => {
  if (typeof sdk !== 'string') moto = await startMotoPca(sdk);
});
after(() => moto?.stop());

const names = {
  spiffeId: 'spiffe://example.com/ns/prod/sa/payments',
  dns: ['payments.example.com'],
  ip: [],
};

const issuerOf = (more: Partial<AwsPcaIssuerOptions> = {}) =>
  awsPcaIssuer({
    ...{ region: 'eu-central-1', endpoint: moto.url, authority: moto.authority },
    ...{ load: async () => sdk as AwsPcaSdk, clock: systemClock },
    ...more,
  });

// moto refuses no names: what is refused is an authority that it does not have.
issuerSuite(
  'AWS Private CA (its SDK, and moto in the place of the service)',
  async () => {
    return {
      issuer: () => {
        const issuer = issuerOf();
        const other = issuerOf({ authority: `${moto.authority.slice(0, -4)}0000` });
        return {
          ...issuer,
          issue: (order) => (order.names.ip.length > 0 ? other : issuer).issue(order),
          close: () => [issuer, other].map((each) => each.close?.()),
        };
      },
      away: () => issuerOf({ endpoint: 'http://127.0.0.1:9', timeoutMs: 3000 }),
      names,
      refused: { ...names, ip: ['10.0.0.1'] },
      refusal:
        /describe the authority at AWS Private CA in eu-central-1: ResourceNotFoundException: /,
    };
  },
  { skip },
);

test('AWS Private CA: without its SDK the command that installs it is named', {
  skip,
}, async () => {
  const missing = awsPcaIssuer({
    ...{ region: 'eu-central-1', endpoint: moto.url, authority: moto.authority },
    clock: systemClock,
  });
  const asked = openIssued({
    ...{ issuer: missing, names, clock: systemClock, log: noLog, meter: noMeter },
  });
  await assert.rejects(asked, {
    code: 'ERR_ISSUER_CONFIG',
    hint: 'npm install @aws-sdk/client-acm-pca',
  });
});
