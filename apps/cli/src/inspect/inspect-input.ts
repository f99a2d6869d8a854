import { CountersignError } from '@countersign/base';
import { formatBundleDocument } from '@countersign/spiffe';
import {
  type Certificate,
  type CertificateRequest,
  type Crl,
  decodePem,
  decodePrivateKey,
  encodePem,
  formatGeneralName,
  parseCertificate,
  parseCertificateRequest,
  parseCrl,
  parseSpki,
  type SubjectPublicKeyInfo,
  spkiOf,
  verifyPossession,
} from '@countersign/x509';
import { bundleOf, looksLikeJson, looksLikePem, within } from '../read-certificates.ts';
import { roughDuration, validityAt } from '../relative-time.ts';
import { formatRfc3339 } from '../rfc3339.ts';
import {
  algorithmName,
  inspectCertificate,
  keyFacts,
  keyLines,
  nameLine,
} from './inspect-certificate.ts';
import { extensionLine, factsOf } from './inspect-extensions.ts';
import type { Inspection } from './inspection.ts';

/** What an input was found to hold, in its order; `certificates` once more as values, for the links between them. */
export interface InspectedInput {
  readonly items: readonly Inspection[];
  readonly certificates: readonly Certificate[];
}

/**
 * Everything in a PEM file, one thing in DER, or a SPIFFE bundle document.
 *
 * @throws CountersignError ERR_CLI_INPUT_KIND, and the codes of what a parser refuses
 */
export function inspectInput(bytes: Uint8Array, now: number): InspectedInput {
  if (looksLikePem(bytes)) return inspectBlocks(decodePem(bytes), now);
  if (looksLikeJson(bytes)) return inspectKeyFile(bytes) ?? inspectBundle(bytes, now);
  return inspectDer(bytes, now);
}

export function inspectCertificates(
  certificates: readonly Certificate[],
  now: number,
): InspectedInput {
  return { certificates, items: certificates.map((each) => inspectCertificate(each, now)) };
}

type Read = (bytes: Uint8Array, now: number) => Inspection | Certificate;

/** Labels of RFC 7468, and the older ones that OpenSSL still writes. */
const readByLabel: Readonly<Record<string, Read>> = {
  CERTIFICATE: (bytes) => parseCertificate(bytes),
  'X509 CERTIFICATE': (bytes) => parseCertificate(bytes),
  'CERTIFICATE REQUEST': (bytes) => inspectRequest(parseCertificateRequest(bytes)),
  'NEW CERTIFICATE REQUEST': (bytes) => inspectRequest(parseCertificateRequest(bytes)),
  'X509 CRL': (bytes, now) => inspectCrl(parseCrl(bytes), now),
  'PUBLIC KEY': (bytes) => inspectPublicKey(parseSpki(bytes)),
  'PRIVATE KEY': (bytes) => inspectPrivateKey('PRIVATE KEY', bytes),
  'EC PRIVATE KEY': (bytes) => inspectPrivateKey('EC PRIVATE KEY', bytes),
  'RSA PRIVATE KEY': (bytes) => inspectPrivateKey('RSA PRIVATE KEY', bytes),
  'ENCRYPTED PRIVATE KEY': () => ({
    kind: 'private key',
    facts: { encrypted: true },
    rows: [['sealed', 'encrypted PKCS #8: nothing of it can be said without its passphrase']],
  }),
};

function inspectBlocks(
  blocks: readonly { label: string; bytes: Uint8Array }[],
  now: number,
): InspectedInput {
  const certificates: Certificate[] = [];
  const items = blocks.map(({ label, bytes }, i): Inspection => {
    const read = readByLabel[label];
    if (read === undefined) {
      return {
        kind: 'other',
        facts: { label, bytes: bytes.length },
        rows: [
          ['PEM label', label],
          ['size', `${bytes.length} bytes, not decoded`],
        ],
      };
    }
    const found = within(`block ${i + 1} "${label}"`, () => read(bytes, now));
    if (!('tbs' in found)) return found;
    certificates.push(found);
    return inspectCertificate(found, now);
  });
  return { items, certificates };
}

/** DER does not say what it is; the structures differ early, so the first that reads it whole is the one. */
const derReaders: readonly Read[] = [
  (bytes) => parseCertificate(bytes),
  (bytes) => inspectRequest(parseCertificateRequest(bytes)),
  (bytes, now) => inspectCrl(parseCrl(bytes), now),
  (bytes) => inspectPublicKey(parseSpki(bytes)),
  (bytes) => inspectPrivateKey('PRIVATE KEY', bytes),
];

function inspectDer(bytes: Uint8Array, now: number): InspectedInput {
  if (bytes[0] !== 0x30) {
    throw new CountersignError(
      'ERR_CLI_INPUT_KIND',
      'it is neither PEM, DER nor a bundle document',
    );
  }
  let asCertificate: string | undefined;
  for (const read of derReaders) {
    try {
      const found = read(bytes, now);
      if (!('tbs' in found)) return { items: [found], certificates: [] };
      return inspectCertificates([found], now);
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      asCertificate ??= thrown.message;
    }
  }
  throw new CountersignError(
    'ERR_CLI_INPUT_KIND',
    `its DER is no certificate, request, revocation list or key; as a certificate: ${asCertificate}`,
  );
}

/** How the authority keeps keys of its own (docs/keys.md): what is sealed in a file, and where one is that is not. */
const keyFiles: Readonly<Record<string, string>> = {
  'countersign-sealed-key': 'sealed in this file: nothing of it can be said without what opens it',
  'countersign-key-reference': 'in a token or service',
};

function inspectKeyFile(bytes: Uint8Array): InspectedInput | undefined {
  const { format, name, publicKey, store } = keyFileIn(bytes);
  const private_ = keyFiles[String(format)];
  if (private_ === undefined) return undefined;
  const where = store === undefined ? {} : { store: String(store) };
  const facts = { format, name: String(name), publicKeySha256: String(publicKey), ...where };
  const item: Inspection = {
    kind: 'key of an authority',
    facts,
    rows: [
      ['of', facts.name],
      ['public key', `SHA-256 ${facts.publicKeySha256}`],
      ['private', where.store === undefined ? private_ : `${private_}: ${where.store}`],
    ],
  };
  return { certificates: [], items: [item] };
}

function keyFileIn(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return {};
  }
}

function inspectBundle(bytes: Uint8Array, now: number): InspectedInput {
  const bundle = bundleOf(bytes);
  const { sequence, refreshHintSeconds, jwtKeys = [], authorities } = bundle;
  const facts = {
    authorities: authorities.length,
    ...(sequence !== undefined && { sequence }),
    ...(refreshHintSeconds !== undefined && { refreshHintSeconds }),
    jwtKeys: jwtKeys.length,
    bytes: formatBundleDocument(bundle).length,
  };
  const document: Inspection = {
    kind: 'bundle document',
    facts,
    rows: [
      ['authorities', `${authorities.length} for X.509-SVIDs, ${jwtKeys.length} for JWT-SVIDs`],
      ['sequence', sequence === undefined ? [] : String(sequence)],
      ['refresh', refreshHintSeconds === undefined ? [] : `every ${refreshHintSeconds} s`],
    ],
  };
  return {
    certificates: authorities,
    items: [document, ...authorities.map((authority) => inspectCertificate(authority, now))],
  };
}

function inspectRequest(request: CertificateRequest): Inspection {
  const possession = verifyPossession(request);
  const names = request.subjectAltNames.map(formatGeneralName);
  const extensions = request.extensions.map((extension) => factsOf(extension, undefined));
  const facts = {
    subject: nameLine(request.subject),
    names,
    key: keyFacts(request.spki),
    signatureAlgorithm: algorithmName(request.signatureAlgorithm),
    possession,
    extensions,
  };
  return {
    kind: 'certificate request',
    facts,
    rows: [
      ['subject', facts.subject],
      ['names', names],
      ['key', keyLines(request.spki)],
      ['signed with', facts.signatureAlgorithm],
      [
        'possession',
        possession
          ? 'proved: the signature is by the key that it asks a certificate for'
          : 'NOT proved: the signature is not by the key that it asks a certificate for',
      ],
      ['extensions', extensions.filter(({ name }) => name !== 'subjectAltName').map(extensionLine)],
    ],
  };
}

const shownEntries = 20;

function inspectCrl(crl: Crl, now: number): Inspection {
  const entries = [...crl.entries.values()].map(({ serialHex, date, reason }) => ({
    serial: serialHex,
    date: formatRfc3339(date),
    reason,
  }));
  const facts = {
    issuer: nameLine(crl.issuer),
    thisUpdate: formatRfc3339(crl.thisUpdate),
    nextUpdate: crl.nextUpdate === undefined ? null : formatRfc3339(crl.nextUpdate),
    crlNumber: crl.crlNumber === undefined ? null : String(crl.crlNumber),
    delta: crl.deltaCrlBase !== undefined,
    signatureAlgorithm: algorithmName(crl.signatureAlgorithm),
    extensions: crl.extensions.map((extension) => factsOf(extension, undefined)),
    entries,
  };
  const shown = entries
    .slice(0, shownEntries)
    .map(({ serial, date, reason }) => `${serial} ${reason}, ${date}`);
  const left = entries.length - shown.length;
  return {
    kind: 'revocation list',
    facts,
    rows: [
      ['issuer', facts.issuer],
      ['number', facts.crlNumber ?? []],
      ['issued', `${facts.thisUpdate}, ${roughDuration(now - crl.thisUpdate)} ago`],
      ['next', crl.nextUpdate === undefined ? 'not said' : nextLine(crl, crl.nextUpdate, now)],
      ['signed with', facts.signatureAlgorithm],
      ['revoked', entries.length === 0 ? 'none' : shown],
      ['', left > 0 ? `and ${left} more; -o json lists them all` : []],
    ],
  };
}

function nextLine(crl: Crl, nextUpdate: number, now: number): string {
  return `${formatRfc3339(nextUpdate)}, ${validityAt(crl.thisUpdate, nextUpdate, now)}`;
}

function inspectPublicKey(spki: SubjectPublicKeyInfo): Inspection {
  return { kind: 'public key', facts: { key: keyFacts(spki) }, rows: [['key', keyLines(spki)]] };
}

/** Public facts alone: the private half is read to find them, and goes nowhere. */
function inspectPrivateKey(label: string, bytes: Uint8Array): Inspection {
  const spki = spkiOf(decodePrivateKey(encodePem(label, bytes)));
  return {
    kind: 'private key',
    facts: { encrypted: false, key: keyFacts(spki) },
    rows: [
      ['key', keyLines(spki)],
      ['private', 'not printed'],
    ],
  };
}
