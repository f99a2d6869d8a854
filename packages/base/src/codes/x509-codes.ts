import type { CodeFamily } from '../code-row.ts';
import { x509CmsCodes } from './x509-cms-codes.ts';
import { x509OcspCodes } from './x509-ocsp-codes.ts';
import { x509PathCodes } from './x509-path-codes.ts';
import { x509TpmCodes } from './x509-tpm-codes.ts';

export const x509Codes = {
  ...x509PathCodes,
  ...x509OcspCodes,
  ...x509CmsCodes,
  ...x509TpmCodes,
  ERR_DER_TRUNCATED: {
    meaning: 'A DER document ends before an element that it announces.',
    hint: 'the file was cut or damaged on its way: fetch or export it again',
    exit: 1,
  },
  ERR_DER_TAG: {
    meaning: 'A DER document has an element of another type than its format requires there.',
    hint: 'check that the file is of the kind that it is given as: certificate, request, list or key',
    exit: 1,
  },
  ERR_DER_LENGTH: {
    meaning: 'A DER length is indefinite, not minimal, or beyond its parent.',
    hint: 'the producer writes BER or something else: have it write DER',
    exit: 1,
  },
  ERR_DER_TRAILING: {
    meaning: 'A DER document has bytes after its end.',
    hint: 'remove what follows the document; a certificate with bytes behind it is never accepted',
    exit: 1,
  },
  ERR_DER_INTEGER: {
    meaning: 'A DER integer is empty or not minimal.',
    hint: 'the producer does not write DER: have it mended',
    exit: 1,
  },
  ERR_DER_BOOLEAN: {
    meaning: 'A DER boolean is neither 00 nor ff.',
    hint: 'the producer does not write DER: have it mended',
    exit: 1,
  },
  ERR_DER_BIT_STRING: {
    meaning:
      'A DER bit string has malformed or non-zero unused bits, or trailing zero bits in a list of flags.',
    hint: 'the producer does not write DER: have it mended',
    exit: 1,
  },
  ERR_DER_OID: {
    meaning: 'An object identifier is malformed.',
    hint: 'the producer does not write DER: have it mended',
    exit: 1,
  },
  ERR_DER_STRING: {
    meaning: 'A text has characters that its string type does not have.',
    hint: "the producer must use UTF8String, or write the text in the type's alphabet",
    exit: 1,
  },
  ERR_DER_TIME: {
    meaning:
      'A time is not written as RFC 5280 requires: UTC, to the second, of a day that exists.',
    hint: 'the producer must write such times; no other form is accepted',
    exit: 1,
  },
  ERR_DER_SET_ORDER: {
    meaning: 'The elements of a DER set are not in ascending order.',
    hint: 'the producer writes BER: have it write DER',
    exit: 1,
  },
  ERR_DER_DEFAULT: {
    meaning: 'A default value is encoded where DER leaves it out.',
    hint: 'the producer writes BER: have it write DER',
    exit: 1,
  },
  ERR_DER_VALUE: {
    meaning: 'A DER element has a value outside its range.',
    hint: 'the message names the element and both sides; the producer must be mended',
    exit: 1,
  },
  ERR_DER_LIMIT: {
    meaning: 'A document is larger, deeper or has more elements than is read.',
    hint: 'such documents are refused whatever is in them; ask its sender for a smaller one',
    exit: 1,
  },
  ERR_PEM_NONE: {
    meaning: 'A text has no PEM block, or none of the kind that is needed.',
    hint: 'check that the file is PEM (it has lines such as -----BEGIN CERTIFICATE-----) and of the right kind',
    exit: 1,
  },
  ERR_PEM_MALFORMED: {
    meaning: 'A PEM block is not well-formed.',
    hint: 'mend the line that the message names, or export the file again',
    exit: 1,
  },
  ERR_PEM_LIMIT: {
    meaning: 'A PEM text is larger or has more blocks than is read.',
    hint: 'split it, or remove the blocks that are not needed',
    exit: 1,
  },
  ERR_CERT_VERSION: {
    meaning: 'The version of a certificate does not fit what it contains.',
    hint: 'it must be reissued: extensions need version 3, unique identifiers version 2',
    exit: 1,
  },
  ERR_CERT_EXTENSION: {
    meaning: 'An extension of a certificate is malformed.',
    hint: 'it must be reissued; the message names the extension and what is wrong in it',
    exit: 1,
  },
  ERR_CERT_EXTENSION_DUPLICATE: {
    meaning: 'A certificate has the same extension twice.',
    hint: 'it must be reissued: RFC 5280 §4.2 allows one of each',
    exit: 1,
  },
  ERR_CERT_ALGORITHM_MISMATCH: {
    meaning: 'The two places where a certificate names its signature algorithm differ.',
    hint: 'it must be reissued; somebody may have altered it',
    exit: 1,
  },
  ERR_CSR_VERSION: {
    meaning: 'A certificate request has a version other than 0.',
    hint: 'create the request again with a tool that follows PKCS #10',
    exit: 1,
  },
  ERR_CSR_ATTRIBUTE: {
    meaning: 'An attribute of a certificate request is malformed or occurs twice.',
    hint: 'create the request again; the message names the attribute',
    exit: 1,
  },
  ERR_CSR_EXTENSION: {
    meaning: 'An extension that a certificate request asks for is malformed or occurs twice.',
    hint: 'create the request again; the message names the extension',
    exit: 1,
  },
  ERR_CRL_VERSION: {
    meaning: 'The version of a revocation list does not fit what it contains.',
    hint: 'it must be issued again: extensions need version 2',
    exit: 1,
  },
  ERR_CRL_EXTENSION: {
    meaning: 'An extension of a revocation list is malformed or occurs twice.',
    hint: 'it must be issued again; the message names the extension',
    exit: 1,
  },
  ERR_CRL_ENTRY: {
    meaning: 'An entry of a revocation list is malformed or occurs twice.',
    hint: 'it must be issued again; the message names the entry',
    exit: 1,
  },
  ERR_CRL_ALGORITHM_MISMATCH: {
    meaning: 'The two places where a revocation list names its signature algorithm differ.',
    hint: 'it must be issued again; somebody may have altered it',
    exit: 1,
  },
  ERR_KEY_MALFORMED: {
    meaning: 'A public key is not encoded as its algorithm requires.',
    hint: 'create a new key; EC keys need a named curve and an uncompressed point',
    exit: 1,
  },
  ERR_KEY_UNSUPPORTED: {
    meaning: 'A key is of a kind that is not accepted.',
    hint: 'use ECDSA P-256, P-384 or P-521, RSA of 2048 bits or more, Ed25519 or ML-DSA',
    exit: 1,
  },
  ERR_KEY_WEAK: {
    meaning: 'A key is too weak to be trusted.',
    hint: 'use RSA of 2048 to 8192 bits, or an EC key',
    exit: 1,
  },
  ERR_KEY_PRIVATE: {
    meaning: 'A private key cannot be read.',
    hint: 'give an unencrypted PKCS #8 key in PEM (-----BEGIN PRIVATE KEY-----)',
    exit: 2,
  },
  ERR_KEY_ENCRYPTED: {
    meaning: 'A private key is encrypted, and no passphrase is given for it.',
    hint: 'give the passphrase, or an unencrypted key in PEM',
    exit: 2,
  },
  ERR_KEY_SIGNATURE_ALGORITHM: {
    meaning: 'A signature algorithm is not supported, or not with this key.',
    hint: 'use SHA-256, SHA-384 or SHA-512 with ECDSA, RSA or RSA-PSS, or Ed25519 or ML-DSA',
    exit: 1,
  },
} as const satisfies CodeFamily;
