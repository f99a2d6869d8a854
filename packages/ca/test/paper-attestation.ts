import { hash } from 'node:crypto';
import { type TestCa, type TestTpm, testCa } from '@countersign/testkit';
import {
  buildName,
  type Certificate,
  type DeviceName,
  der,
  extension,
  type GeneralName,
  generalNameOfDevice,
  keyIdOf,
  parseCertificate,
  parseName,
  type SubjectPublicKeyInfo,
  signCertificate,
  type TpmPublic,
} from '@countersign/x509';

/** CBOR of what attestations are made of. */
export function cbor(value: unknown): Buffer {
  if (typeof value === 'number') return value < 0 ? head(1, -1 - value) : head(0, value);
  if (typeof value === 'string')
    return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.byteLength), value]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)]);
  const entries = Object.entries(value as object);
  return Buffer.concat([head(5, entries.length), ...entries.flat().map(cbor)]);
}

function head(major: number, argument: number): Buffer {
  if (argument < 24) return Buffer.of((major << 5) | argument);
  if (argument < 256) return Buffer.of((major << 5) | 24, argument);
  return Buffer.of((major << 5) | 25, argument >> 8, argument & 0xff);
}

/** The names by which a TPM is known to whoever certifies attestation keys. */
export function tpmNames(devices: readonly DeviceName[]): GeneralName[] {
  const attributes = ['id:53465400', 'paper', 'id:00010002'].map((value, i) =>
    der.setOf(der.sequence(der.oid(`2.23.133.2.${i + 1}`), der.utf8(value))),
  );
  const directory: GeneralName = {
    kind: 'directory',
    name: parseName(der.sequence(...attributes)),
  };
  return [directory, ...devices.map(generalNameOfDevice)];
}

/** Certifies attestation keys, as a maker of TPMs or an authority of one's own does. */
export function keyAuthority(ca: TestCa = testCa({ name: 'keys of TPMs' })) {
  return {
    root: ca.root,
    rootPem: ca.rootPem,
    certify(
      tpm: Pick<TestTpm, 'attestationKey'>,
      devices: readonly DeviceName[],
      more: object = {},
    ) {
      const { certificate } = ca.leaf({
        ...{ subject: [], key: tpm.attestationKey, names: tpmNames(devices) },
        ...{ keyUsage: ['digitalSignature'], extKeyUsage: ['2.23.133.8.3'] },
        ...more,
      });
      return certificate;
    },
    /** The same for a key whose private half nobody has but its TPM. */
    async certifyPublic(spki: SubjectPublicKeyInfo, devices: readonly DeviceName[]) {
      const { subject, notBefore, notAfter } = ca.root;
      const bytes = await signCertificate(
        {
          ...{ serial: Uint8Array.of(1, 2, 3), issuer: subject, subject: buildName([]), spki },
          ...{ notBefore, notAfter },
          extensions: [
            extension.basicConstraints({ ca: false }),
            extension.keyUsage(['digitalSignature']),
            extension.extKeyUsage(['2.23.133.8.3']),
            extension.subjectAltName(tpmNames(devices), true),
            extension.authorityKeyId(ca.root.subjectKeyId ?? keyIdOf(ca.root.spki)),
          ],
        },
        ca.signer,
      );
      return parseCertificate(bytes);
    },
  };
}

/** `attObj` for the key, which its TPM certifies for this challenge. */
export function attestationObject(
  tpm: TestTpm,
  certificate: Certificate,
  key: TpmPublic,
  signed: string,
  more: { readonly statement?: object; readonly fmt?: string } = {},
): Buffer {
  const { attest, signature } = tpm.certify(key.name, hash('sha256', signed, 'buffer'));
  const alg = tpm.attestationKey.asymmetricKeyType === 'rsa' ? -257 : -7;
  const attStmt = {
    ...{ ver: '2.0', alg, x5c: [certificate.raw] },
    ...{ sig: signature, certInfo: attest, pubArea: key.raw },
    ...more.statement,
  };
  return cbor({ fmt: more.fmt ?? 'tpm', attStmt });
}
