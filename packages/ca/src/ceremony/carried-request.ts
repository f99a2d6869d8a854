import { CountersignError, messageOf } from '@countersign/base';
import { type CertificateRequest, certificateRequestFromPem, encodePem } from '@countersign/x509';

/** What is carried to an offline root: a request, and what the ledger said about the certificate that it is for. */
export interface CarriedRequest {
  /** Of the intermediate. */
  readonly name: string;
  /** Lowercase hex: ordered in the ledger, so that nothing is signed without an intent. */
  readonly serialHex: string;
  /** Whole seconds, milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly csr: CertificateRequest;
}

const first = 'countersign-request: 1';
const rest = ['name', 'serial', 'not-before', 'not-after'] as const;
const maxBytes = 64 * 1024;

/** A PEM file whose text before the request (RFC 7468 §2 allows it) says the rest: other tools read it as a request. */
export function formatCarriedRequest(
  request: Omit<CarriedRequest, 'csr'> & { readonly csr: Uint8Array },
): string {
  const { name, serialHex, notBefore, notAfter, csr } = request;
  const lines = [
    first,
    `name: ${name}`,
    `serial: ${serialHex}`,
    `not-before: ${new Date(notBefore).toISOString()}`,
    `not-after: ${new Date(notAfter).toISOString()}`,
  ];
  return `${lines.join('\n')}\n${encodePem('CERTIFICATE REQUEST', csr)}`;
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
    csr: readCsr(text.slice(head.length), file),
  };
}

function readCsr(pem: string, file: string): CertificateRequest {
  try {
    return certificateRequestFromPem(pem);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    const message = `read the request in "${file}": ${messageOf(thrown)}`;
    throw new CountersignError(thrown.code, message, { fields: thrown.fields, cause: thrown });
  }
}

function malformed(file: string, wrong: string): CountersignError {
  return new CountersignError('ERR_CEREMONY_REQUEST', `carried request "${file}" ${wrong}`, {
    fields: { file },
  });
}
