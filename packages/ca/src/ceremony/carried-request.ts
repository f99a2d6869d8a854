import { CountersignError, messageOf } from '@countersign/base';
import {
  type Certificate,
  type CertificateRequest,
  certificateRequestFromPem,
  certificatesFromPem,
  encodePem,
  verifyPossession,
  verifySignature,
} from '@countersign/x509';

/** What is carried to an offline root: a request, and what the ledger said about the certificate that it is for. */
export interface CarriedRequest {
  /** Of the intermediate; `root` for a root, by itself or by another root. */
  readonly name: string;
  /** SHA-256 of the key that is to sign, lowercase hex; undefined: of whichever root is asked. */
  readonly issuerKey: string | undefined;
  /** Lowercase hex: ordered in the ledger, so that nothing is signed without an intent. */
  readonly serialHex: string;
  /** Whole seconds, milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly asks: CarriedSubject;
}

/** Of whom it is: a request, or for a root that another one is to sign, the certificate that it has. */
export interface CarriedSubject extends Pick<CertificateRequest, 'raw' | 'subject' | 'spki'> {
  /** Those of a request; undefined where a certificate stands for it. */
  readonly extensions: CertificateRequest['extensions'] | undefined;
  /** Whether it is signed by the key that it is for. */
  readonly isPossessed: boolean;
}

const first = 'countersign-request: 1';
const rest = ['name', 'issuer-key', 'serial', 'not-before', 'not-after'] as const;
const maxBytes = 64 * 1024;

/** A PEM file whose text before the request (RFC 7468 §2 allows it) says the rest: other tools read it as a request. */
export function formatCarriedRequest(
  request: Omit<CarriedRequest, 'asks' | 'issuerKey'> & {
    readonly issuerKey?: string;
    /** DER of a request, or of a root's certificate. */
    readonly csr: Uint8Array;
    readonly isCertificate?: boolean;
  },
): string {
  const { name, issuerKey, serialHex, notBefore, notAfter, csr, isCertificate } = request;
  const lines = [
    first,
    `name: ${name}`,
    ...(issuerKey === undefined ? [] : [`issuer-key: ${issuerKey}`]),
    `serial: ${serialHex}`,
    `not-before: ${new Date(notBefore).toISOString()}`,
    `not-after: ${new Date(notAfter).toISOString()}`,
  ];
  const label = isCertificate === true ? 'CERTIFICATE' : 'CERTIFICATE REQUEST';
  return `${lines.join('\n')}\n${encodePem(label, csr)}`;
}

/** @throws CountersignError ERR_CEREMONY_REQUEST; ERR_PEM_*, ERR_DER_*, ERR_CSR_* of the request itself */
export function parseCarriedRequest(text: string, file: string): CarriedRequest {
  if (text.length > maxBytes) {
    throw malformed(file, `has ${text.length} characters, at most ${maxBytes} are read`);
  }
  const [head = ''] = text.split('-----BEGIN', 1);
  const [version, ...lines] = head.trim().split(/\r?\n/);
  if (version?.trim() !== first) throw malformed(file, `does not begin with "${first}"`);
  const values = new Map(
    lines.map((line): [string, string] => {
      const at = line.indexOf(': ');
      return [line.slice(0, Math.max(0, at)), line.slice(at + 2).trim()];
    }),
  );
  const unknown = [...values.keys()].find((key) => !rest.some((known) => known === key));
  if (unknown !== undefined) throw malformed(file, `has an unknown line "${unknown.slice(0, 40)}"`);
  const value = (key: (typeof rest)[number], pattern: RegExp): string => {
    const found = values.get(key) ?? '';
    if (pattern.test(found)) return found;
    throw malformed(file, `has no "${key}", or one of another form`);
  };
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/;
  return {
    name: value('name', /^[A-Za-z][A-Za-z0-9_-]{0,39}$/),
    serialHex: value('serial', /^01[0-9a-f]{38}$/),
    notBefore: Date.parse(value('not-before', time)),
    notAfter: Date.parse(value('not-after', time)),
    issuerKey: values.has('issuer-key') ? value('issuer-key', /^[0-9a-f]{64}$/) : undefined,
    asks: readSubject(text.slice(head.length), file),
  };
}

export function subjectOfRequest(csr: CertificateRequest): CarriedSubject {
  const { raw, subject, spki, extensions } = csr;
  return { raw, subject, spki, extensions, isPossessed: verifyPossession(csr) };
}

export function subjectOfCertificate(certificate: Certificate): CarriedSubject {
  const { raw, subject, spki, tbs, signature, signatureAlgorithm } = certificate;
  const isPossessed = verifySignature(spki, signatureAlgorithm, tbs, signature);
  return { raw, subject, spki, extensions: undefined, isPossessed };
}

function readSubject(pem: string, file: string): CarriedSubject {
  try {
    if (!pem.startsWith('-----BEGIN CERTIFICATE-----')) {
      return subjectOfRequest(certificateRequestFromPem(pem));
    }
    const [certificate, more] = certificatesFromPem(pem);
    if (certificate === undefined || more !== undefined) throw malformed(file, 'has two in one');
    return subjectOfCertificate(certificate);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    const message = `read the request in "${file}": ${messageOf(thrown)}`;
    const { code, fields } = thrown;
    throw new CountersignError(code, message, { fields, cause: thrown, exit: 2 });
  }
}

function malformed(file: string, wrong: string): CountersignError {
  return new CountersignError('ERR_CEREMONY_REQUEST', `carried request "${file}" ${wrong}`, {
    fields: { file },
    exit: 2,
  });
}
