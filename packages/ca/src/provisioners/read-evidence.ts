import { CountersignError, type Denial, denial } from '@countersign/base';
import { readJwt, type UnverifiedJwt } from '@countersign/spiffe';
import { parseTpmEvidence, type TpmEvidence } from '@countersign/wire';
import { parseSignedData, type SignedData } from '@countersign/x509';

/** What is shown instead of a join token; nothing of it is proved. */
export type Evidence =
  | { readonly ok: true; readonly kind: 'jwt'; readonly token: UnverifiedJwt }
  | { readonly ok: true; readonly kind: 'tpm'; readonly said: TpmEvidence }
  | {
      readonly ok: true;
      /** Whose document it is. */
      readonly kind: 'aws' | 'azure';
      readonly data: SignedData;
      /** Its JSON. */
      readonly document: Readonly<Record<string, unknown>>;
    };

const longest = 32 * 1024;
const limits = { maxBytes: 24 * 1024, maxDepth: 24, maxElements: 4000 };

/**
 * A JWT, `aws:` and `azure:` with the base64 that the metadata service gives, or `tpm:` and what `TpmEvidence` is written as.
 *
 * Denials: ERR_JWT_FORM, ERR_JWT_ALGORITHM, ERR_PROVISIONER_DOCUMENT.
 */
export function readEvidence(text: string): Evidence | Denial {
  if (text.startsWith('tpm:')) return readTpm(text.slice(4));
  const [, kind, base64 = ''] = /^(aws|azure):(.*)$/s.exec(text) ?? [];
  if (kind !== 'aws' && kind !== 'azure') {
    const token = readJwt(text);
    return token.ok ? { ok: true, kind: 'jwt', token } : token;
  }
  if (text.length > longest) return wrong(kind, `has more than ${longest} characters`);
  const squeezed = base64.replaceAll(/\s/g, '');
  const bytes = Buffer.from(squeezed, 'base64');
  if (
    squeezed === '' ||
    bytes.toString('base64').replace(/=+$/, '') !== squeezed.replace(/=+$/, '')
  ) {
    return wrong(kind, 'is no base64');
  }
  let data: SignedData;
  try {
    data = parseSignedData(bytes, limits);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return wrong(kind, `is no signed data: ${thrown.message}`);
  }
  const document = objectIn(data.content);
  return document === undefined
    ? wrong(kind, 'holds no JSON object')
    : { ok: true, kind, data, document };
}

function readTpm(text: string): Evidence | Denial {
  try {
    return { ok: true, kind: 'tpm', said: parseTpmEvidence(text) };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return wrong('tpm', `cannot be read: ${thrown.message}`);
  }
}

function objectIn(content: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    // The caller says what was expected.
    return undefined;
  }
}

function wrong(kind: string, why: string): Denial {
  return denial('ERR_PROVISIONER_DOCUMENT', `${kind} document ${why}`);
}
