import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CountersignError, equalBytes, fromHex, messageOf } from '@countersign/base';
import {
  buildCertificateRequest,
  buildCertsOnly,
  buildEnvelopedData,
  cmsOids,
  der,
  generateKeyPair,
  judgeKey,
  type KeyKind,
  keyIdOf,
  keySigner,
  type Recipient,
  signedDataOf,
} from '@countersign/x509';
import { answerOfParts, certsOnlyType, type EstAnswer } from './encoded-answer.ts';
import { enrol } from './enrol.ts';
import type { EstCall } from './est-call.ts';
import type { EstContext } from './est-context.ts';
import { type EstRefusal, refusal } from './est-refusal.ts';

/** What a key is that nobody says more about. */
const usualKind: KeyKind = { type: 'EC', curve: 'P-256' };

/** RFC 7030 §4.4: a key of the kind that the request has, and its certificate. The key is kept nowhere. */
export async function serverKeygen(
  context: EstContext,
  call: EstCall,
): Promise<EstAnswer | EstRefusal> {
  const { csr } = call;
  // 1. Who is to read the key, before there is one.
  const recipient = await recipientOf(context, call);
  if (recipient !== undefined && 'status' in recipient) return recipient;

  // 2. The request, as the client would have made it (RFC 7030 §4.4.1: its own key counts for nothing).
  const judged = judgeKey(csr.spki);
  const { privateKey } = await generateKeyPair(judged.ok ? judged.kind : usualKind);
  const { subject, extensions } = csr;
  const signer = keySigner(privateKey);
  const made = await buildCertificateRequest({ signer, subject, extensions });

  // 3. The certificate, by the ordinary flow.
  const issued = await enrol(context, call, made);
  if (!issued.ok) return issued;

  // 4. Both parts.
  const pkcs8 = new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' }));
  const key =
    recipient === undefined
      ? { type: 'application/pkcs8', bytes: pkcs8 }
      : {
          type: 'application/pkcs7-mime; smime-type=server-generated-key',
          bytes: await sealed(context, pkcs8, recipient),
        };
  const [leaf] = issued.chain;
  return answerOfParts([key, { type: certsOnlyType, bytes: buildCertsOnly([leaf]) }]);
}

/** RFC 7030 §4.4.2: signed by who made it, then encrypted. */
async function sealed(
  { identity }: EstContext,
  pkcs8: Uint8Array,
  recipient: Recipient,
): Promise<Uint8Array> {
  const { chain, privateKey } = identity.svid();
  const content = await signedDataOf({
    contentType: cmsOids.keyPackage,
    // RFC 5958 §2: a package of one
    content: der.sequence(pkcs8),
    signer: keySigner(privateKey),
    chain: [chain[0], ...chain.slice(1)],
  });
  const contentType = cmsOids.signedData;
  return buildEnvelopedData({ contentType, content, recipient, randomBytes });
}

/** Undefined where the request says nothing of it: then TLS is what keeps the key. */
async function recipientOf(
  { config }: EstContext,
  { csr, http }: EstCall,
): Promise<Recipient | EstRefusal | undefined> {
  const { decryptKeyId, asymmetricDecryptKeyId } = csr;
  if (decryptKeyId !== undefined && asymmetricDecryptKeyId !== undefined) {
    const told = 'names a shared key and a public one, one of both is expected';
    return refusal('keygen', `the request ${told}`);
  }
  // RFC 7030 §4.4.1.2: the public key of the certificate that the client shows
  if (asymmetricDecryptKeyId !== undefined) {
    const [certificate] = http.shown();
    const keyId = certificate?.subjectKeyId ?? (certificate && keyIdOf(certificate.spki));
    if (
      certificate === undefined ||
      keyId === undefined ||
      !equalBytes(keyId, asymmetricDecryptKeyId)
    ) {
      const told = 'the key of asymmetricDecryptKeyIdentifier is not that of the certificate shown';
      return refusal('keygen', told);
    }
    const kind = judgeKey(certificate.spki);
    const canDecrypt = kind.ok && (kind.kind.type === 'RSA' || kind.kind.type === 'EC');
    if (canDecrypt) return { certificate };
    return refusal('keygen', 'a key is encrypted to an RSA or EC key, the certificate has another');
  }
  if (decryptKeyId === undefined) return undefined;
  // RFC 7030 §4.4.1.1
  const asked = Buffer.from(decryptKeyId).toString('utf8');
  const known = config.decryptKeys.find(({ id }) => id === asked);
  if (known === undefined) {
    const told = 'the key of decryptKeyIdentifier is not known here';
    const operator = `${told}: "${asked.slice(0, 64)}" is not in est.decrypt_keys`;
    return refusal('keygen', told, { operator });
  }
  return { keyId: decryptKeyId, sharedKey: await sharedKeyIn(known.file) };
}

/** @throws CountersignError ERR_EST_FILE */
async function sharedKeyIn(file: string): Promise<Uint8Array> {
  const wrong = (reason: string, cause?: unknown) =>
    new CountersignError('ERR_EST_FILE', `read the shared key of "${file}": ${reason}`, {
      fields: { file },
      cause,
    });
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (thrown) {
    throw wrong(messageOf(thrown), thrown);
  }
  const key = fromHex(text.trim());
  if (key?.byteLength === 16 || key?.byteLength === 32) return key;
  throw wrong('expected 32 or 64 hexadecimal digits');
}
