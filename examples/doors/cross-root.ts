// Another root that has signed the intermediate's key, as an older and better known one would have: ACME clients are offered
// the chain to it as an alternative (RFC 8555 §7.4.2). Its certificate is written to DIR/cross-root.pem, what it signed to
// DIR/cross.pem; its key is nowhere.
import { readFileSync, writeFileSync } from 'node:fs';
import {
  buildName,
  certificatesFromPem,
  encodePem,
  extension,
  generateKeyPair,
  keyIdOf,
  keySigner,
  oids,
  signCertificate,
} from '@countersign/x509';

const [directory = ''] = process.argv.slice(2);
const [intermediate] = certificatesFromPem(
  readFileSync(`${directory}/state/intermediates/services.pem`, 'utf8'),
);
if (intermediate === undefined) throw new Error('no intermediate');

const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
const signer = keySigner(privateKey);
const issuer = buildName([{ type: 'CN', value: 'Another Root' }]);
const keyId = keyIdOf(signer.spki);
const { notBefore, notAfter, subject, spki, extensions } = intermediate;
const span = { notBefore, notAfter };

const root = await signCertificate(
  {
    ...{ serial: Uint8Array.of(1), issuer, subject: issuer, spki: signer.spki, ...span },
    extensions: [
      extension.basicConstraints({ ca: true }),
      extension.keyUsage(['keyCertSign', 'cRLSign']),
      extension.subjectKeyId(keyId),
    ],
  },
  signer,
);
// What the intermediate is, but for who says so.
const own = extensions.filter(({ oid }) => oid !== oids.authorityKeyIdentifier);
const cross = await signCertificate(
  {
    ...{ serial: Uint8Array.of(2), issuer, subject, spki, ...span },
    extensions: [...own, extension.authorityKeyId(keyId)],
  },
  signer,
);
writeFileSync(`${directory}/cross-root.pem`, encodePem('CERTIFICATE', root));
writeFileSync(`${directory}/cross.pem`, encodePem('CERTIFICATE', cross));
