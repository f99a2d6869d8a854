import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { type SoftTpmServer, softTpmServerMissing, startSoftTpmServer } from '@countersign/testkit';
import {
  attestationTemplate,
  buildCertificateRequest,
  certificatesFromPem,
  type DeviceName,
  deviceNameOf,
  publicKeyOf,
  type Signer,
  signatureAlgorithms,
  signatureTemplate,
  TpmCommands,
  tpmHashes,
} from '@countersign/x509';
import { type DeviceWorld, deviceWorld } from '../../../test/device-world.ts';
import { cbor } from '../../../test/paper-attestation.ts';

const skip = softTpmServerMissing();
const server = skip === false ? await startSoftTpmServer() : ({} as SoftTpmServer);
const world = skip === false ? await deviceWorld() : ({} as DeviceWorld);
after(async () => {
  server.remove?.();
  await world.end?.();
});

const device: DeviceName = { kind: 'permanentIdentifier', value: 'SN-4711' };

describe('device-attest-01 by a TPM in software', { skip }, () => {
  const tpm = new TpmCommands((command) => server.exchange(command));

  for (const kind of ['ecc', 'rsa'] as const) {
    it(`certifies a key of kind ${kind} that never leaves the TPM, by its own signature`, async () => {
      const ak = await tpm.createPrimary('endorsement', attestationTemplate(kind));
      const key = await tpm.createPrimary('owner', signatureTemplate(kind));
      const scheme = kind === 'ecc' ? 'ecdsa' : 'rsassa';

      // 1. the attestation key is certified by whoever is believed about it
      const certificate = await world.keys.certifyPublic(ak.public.spki, [device]);
      // 2. an order, and the TPM's statement about the key for this challenge
      const order = await world.order('permanent-identifier', 'SN-4711');
      const qualifying = hash('sha256', order.signed, 'buffer');
      const { attest, signature } = await tpm.certify(key.handle, ak.handle, qualifying);
      const attStmt = {
        ...{ ver: '2.0', alg: kind === 'ecc' ? -7 : -257, x5c: [certificate.raw] },
        ...{ sig: signature, certInfo: attest, pubArea: key.public.raw },
      };
      const { body } = await order.respond(cbor({ fmt: 'tpm', attStmt }));
      assert.equal(body.status, 'valid', JSON.stringify(body));
      // 3. a request that the key itself signs, in the TPM
      const signer: Signer = {
        spki: key.public.spki,
        algorithm: signatureAlgorithms[kind === 'ecc' ? 'ECDSA-SHA256' : 'RSA-SHA256'],
        async sign(data) {
          const by = { scheme, hash: tpmHashes[0]?.id ?? 0 } as const;
          return (await tpm.sign(key.handle, hash('sha256', data, 'buffer'), by)).bytes;
        },
      };
      const done = await order.finalize(await buildCertificateRequest({ signer }));
      assert.equal(done.body.status, 'valid', done.text);
      const [leaf] = certificatesFromPem((await world.client.get(done.body.certificate)).text);
      assert.ok(leaf);
      assert.deepEqual(leaf.subjectAltNames.map(deviceNameOf), [device]);
      assert.ok(publicKeyOf(leaf.spki).equals(publicKeyOf(key.public.spki)));
      for (const { handle } of [ak, key]) await tpm.flushContext(handle);
    });
  }
});
