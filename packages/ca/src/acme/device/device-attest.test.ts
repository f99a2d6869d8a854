import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { testKey, testTpm } from '@countersign/testkit';
import {
  buildCertificateRequest,
  certificatesFromPem,
  type DeviceName,
  deviceNameOf,
  extension,
  formatDeviceName,
  generalNameOfDevice,
  keySigner,
} from '@countersign/x509';
import { issuedOf, peerOf, refused, request } from '../../../test/authority-under-test.ts';
import { type DeviceWorld, deviceWorld } from '../../../test/device-world.ts';
import { attestationObject } from '../../../test/paper-attestation.ts';
import { parseCaConfig } from '../../ca-config.ts';

const laptop: DeviceName = { kind: 'permanentIdentifier', value: 'SN-4711' };
const module: DeviceName = {
  kind: 'hardwareModule',
  type: '1.3.6.1.4.1.99999.1',
  serial: Uint8Array.of(1, 0xab, 0xcd),
};

describe('device-attest-01', () => {
  let world: DeviceWorld;
  before(async () => {
    world = await deviceWorld();
  });
  after(() => world.end());

  const tpm = testTpm();
  const key = tpm.key();
  const certified = (devices: readonly DeviceName[] = [laptop, module]) =>
    world.keys.certify(tpm, devices);
  const typeOf = (body: { type?: string }) => body.type?.split(':').at(-1);

  async function attested(type: string, value: string, more?: object) {
    const order = await world.order(type, value, more);
    const object = attestationObject(tpm, certified(), key.public, order.signed);
    const { status, body, text } = await order.respond(object);
    assert.deepEqual([status, body.status], [200, 'valid'], text);
    return order;
  }

  for (const { name, type, value } of [
    { name: laptop, type: 'permanent-identifier', value: 'SN-4711' },
    { name: module, type: 'hardware-module', value: '1.3.6.1.4.1.99999.1:01ABcd' },
  ]) {
    it(`certifies the attested key for a ${type}, which the certificate carries`, async () => {
      const order = await attested(type, value);
      const extensions = [extension.subjectAltName([generalNameOfDevice(name)])];
      const signer = keySigner(key.privateKey);
      const csr = await buildCertificateRequest({ signer, extensions });
      const done = await order.finalize(csr);
      assert.deepEqual([done.status, done.body.status], [200, 'valid'], done.text);
      const [leaf] = certificatesFromPem((await world.client.get(done.body.certificate)).text);
      assert.ok(leaf);
      assert.deepEqual(leaf.subjectAltNames.map(deviceNameOf), [name]);
      const record = await world.authority.ledger.certificate(leaf.serialHex);
      assert.deepEqual(record?.names, [formatDeviceName(name)]);
    });
  }

  it('certifies no other key, though it is asked for by the same account', async () => {
    const order = await attested('permanent-identifier', 'SN-4711');
    const csr = await buildCertificateRequest({ signer: keySigner(testKey()) });
    const { status, body } = await order.finalize(csr);
    assert.deepEqual([status, typeOf(body)], [400, 'badCSR']);
    assert.match(body.detail, /not the one that was attested/);
  });

  it('a certificate that names a device is not renewed for another key, but attested anew', async () => {
    const order = await attested('permanent-identifier', 'SN-4711', { profile: 'named' });
    const csr = await buildCertificateRequest({ signer: keySigner(key.privateKey) });
    const done = await order.finalize(csr);
    const chain = certificatesFromPem((await world.client.get(done.body.certificate)).text);
    const peer = peerOf(world.authority, {
      ...issuedOf({ ok: true, chain: chain.map(({ raw }) => raw) } as never),
    });
    refused(await world.authority.renew({ csr: await request(), peer }), 'ERR_POLICY_NAME_KIND');
  });

  const wrongs: readonly (readonly [string, RegExp, (signed: string) => Buffer])[] = [
    [
      'names another device',
      /names "permanent-identifier:SN-1", "permanent-identifier:SN-4711" is asked for/,
      (signed) =>
        attestationObject(
          tpm,
          certified([{ kind: 'permanentIdentifier', value: 'SN-1' }]),
          key.public,
          signed,
        ),
    ],
    [
      'is of another format',
      /format "apple" is not taken, "tpm" is/,
      (signed) => attestationObject(tpm, certified(), key.public, signed, { fmt: 'apple' }),
    ],
    [
      'is about another challenge',
      /not the digest of the key authorization/,
      () => attestationObject(tpm, certified(), key.public, 'other'),
    ],
    ['is no CBOR', /CBOR at octet/, () => Buffer.from('ff00', 'hex')],
  ];
  for (const [what, detail, make] of wrongs) {
    it(`ends the authorization where the attestation ${what}`, async () => {
      const order = await world.order('permanent-identifier', 'SN-4711');
      const { body } = await order.respond(make(order.signed));
      assert.deepEqual([body.status, typeOf(body.error)], ['invalid', 'badAttestationStatement']);
      assert.match(body.error.detail, detail);
      const ended = await world.client.get(order.authorization);
      assert.equal(ended.body.status, 'invalid');
      const csr = await buildCertificateRequest({ signer: keySigner(key.privateKey) });
      assert.equal(typeOf((await order.finalize(csr)).body), 'orderNotReady');
    });
  }

  it('waits for an attestation where there is none in the response', async () => {
    const order = await world.order('permanent-identifier', 'SN-4711');
    const { status, body } = await world.client.post(order.challenge.url, { attObj: 'a+b' });
    assert.deepEqual([status, typeOf(body)], [400, 'malformed']);
    const { body: still } = await world.client.get(order.authorization);
    assert.equal(still.status, 'pending');
  });

  it('refuses devices that are none, that a rule denies, or where nobody attests them', async () => {
    const ask = async (type: string, value: string) =>
      (await world.client.post(world.client.directory.newOrder, { identifiers: [{ type, value }] }))
        .body;
    assert.equal(typeOf(await ask('permanent-identifier', 'LOST-1')), 'rejectedIdentifier');
    assert.equal(typeOf(await ask('permanent-identifier', '')), 'malformed');
    assert.equal(typeOf(await ask('hardware-module', 'SN-1')), 'malformed');
    assert.equal(typeOf(await ask('email', 'a@example.com')), 'unsupportedIdentifier');
  });
});

it('ca.yaml takes no format of attestation but tpm', () => {
  const yaml = `
ca:
  root: { curve: P-256, validity: 720h }
  intermediate: { services: { curve: P-256, validity: 168h } }
service_certificates: { san_policies: { spiffe_trust_domain: example.com } }
acme: { device_attestation: { roots: [a.pem], formats: [apple] } }
`;
  assert.throws(() => parseCaConfig(yaml, 'ca.yaml'), { message: /format "apple" is not taken/ });
});
