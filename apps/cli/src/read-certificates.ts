import { CountersignError } from '@countersign/base';
import { parseBundleDocument, type TrustBundle } from '@countersign/spiffe';
import {
  type Certificate,
  type Crl,
  certificatesFromPem,
  decodePem,
  parseCertificate,
  parseCrl,
} from '@countersign/x509';
import type { Cli } from './cli.ts';
import { inputName, readInput } from './read-input.ts';

/** Certificates of a file, all its PEM blocks in order, or one in DER, or the authorities of a SPIFFE bundle document. */
export async function readCertificates(
  cli: Cli,
  source: string,
  attempted: string,
): Promise<readonly Certificate[]> {
  const bytes = await readInput(cli, source, attempted);
  return readAs(`${attempted}: read ${inputName(source)}`, () => certificatesIn(bytes));
}

/** Those that `verify` judges: one that cannot be read is not valid, so that the answer is no. */
export async function readJudged(
  cli: Cli,
  source: string,
  attempted: string,
): Promise<readonly Certificate[]> {
  const bytes = await readInput(cli, source, attempted);
  return within(`${attempted}: read ${inputName(source)}`, () => certificatesIn(bytes));
}

function certificatesIn(bytes: Uint8Array): readonly Certificate[] {
  return looksLikeJson(bytes) ? bundleOf(bytes).authorities : certificatesOf(bytes);
}

export async function readCrls(cli: Cli, source: string, attempted: string): Promise<Crl[]> {
  const bytes = await readInput(cli, source, attempted);
  return readAs(`${attempted}: read ${inputName(source)}`, () => crlsOf(bytes));
}

/** @throws CountersignError ERR_PEM_*, ERR_DER_*, ERR_CERT_*, ERR_CLI_INPUT_KIND */
export function certificatesOf(bytes: Uint8Array): readonly Certificate[] {
  if (looksLikePem(bytes)) return certificatesFromPem(bytes);
  if (bytes[0] !== 0x30) throw wrongKind('it is neither PEM nor DER');
  return [parseCertificate(bytes)];
}

/** @throws CountersignError ERR_PEM_*, ERR_DER_*, ERR_CRL_*, ERR_CLI_INPUT_KIND */
export function crlsOf(bytes: Uint8Array): Crl[] {
  if (!looksLikePem(bytes)) {
    if (bytes[0] !== 0x30) throw wrongKind('it is neither PEM nor DER');
    return [parseCrl(bytes)];
  }
  const blocks = decodePem(bytes).filter(({ label }) => label === 'X509 CRL');
  if (blocks.length === 0) throw wrongKind('it has no PEM block "X509 CRL"');
  return blocks.map((block) => parseCrl(block.bytes));
}

export function looksLikePem(bytes: Uint8Array): boolean {
  return textOf(bytes).includes('-----BEGIN ');
}

export function looksLikeJson(bytes: Uint8Array): boolean {
  return textOf(bytes.subarray(0, 64)).trimStart().startsWith('{');
}

/**
 * A SPIFFE bundle document without its trust domain, which the document does not hold: whoever gives the file as trust
 * anchors has chosen it already.
 *
 * @throws CountersignError ERR_BUNDLE_*, ERR_CLI_INPUT_KIND
 */
export function bundleOf(bytes: Uint8Array): TrustBundle {
  const bundle = parseBundleDocument(textOf(bytes), 'file');
  if (bundle.authorities.length > 0) return bundle;
  throw wrongKind('its "keys" hold no certificate with use "x509-svid"');
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function wrongKind(reason: string): CountersignError {
  return new CountersignError('ERR_CLI_INPUT_KIND', reason);
}

/** Puts what was attempted in front of the reason that a room below gives, which does not know the file. */
export function within<T>(attempted: string, act: () => T, exit?: 2): T {
  try {
    return act();
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    throw new CountersignError(thrown.code, `${attempted}: ${thrown.message}`, {
      fields: thrown.fields,
      hint: thrown.hint,
      cause: thrown,
      exit: exit ?? thrown.exit,
    });
  }
}

/** The same for a file of the command line: one that cannot be read as what it is to be is no answer, whatever is wrong. */
export function readAs<T>(attempted: string, parse: () => T): T {
  return within(attempted, parse, 2);
}
