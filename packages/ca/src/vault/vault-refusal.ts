import { type Denial, denial, type ErrorCode, type Fields } from '@countersign/base';

/** A refusal in that API's words: `errors` is for the client; what only the operator may know is in `detail`. */
export interface VaultRefusal extends Denial {
  readonly status: number;
  readonly errors: readonly string[];
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

interface More {
  /** For the log. Default: what the client is told. */
  readonly operator?: string | undefined;
  readonly fields?: Fields | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export function refusal(
  code: ErrorCode,
  status: number,
  errors: string | readonly string[],
  { operator, fields, headers }: More = {},
): VaultRefusal {
  const said = typeof errors === 'string' ? [errors] : errors;
  return {
    ...denial(code, operator ?? said.join('; '), fields),
    status,
    errors: said,
    ...(headers !== undefined && { headers }),
  };
}

/** What cannot be read or done. */
export function badRequest(text: string): VaultRefusal {
  return refusal('ERR_VAULT_REQUEST', 400, text);
}

/** What is set and not done here, by its name. */
export function unsupported(name: string, then: string): VaultRefusal {
  return refusal('ERR_VAULT_UNSUPPORTED', 400, `"${name}" is not supported: ${then}`);
}

/** The same words whatever was wrong with the token, which clients match on. */
export function permissionDenied(operator: string, fields?: Fields): VaultRefusal {
  return refusal('ERR_VAULT_DENIED', 403, 'permission denied', { operator, fields });
}

/** Of a token that is good and not entitled: clients are told so in one more line. */
export function notEntitled(operator: string, fields?: Fields): VaultRefusal {
  const said = '1 error occurred:\n\t* permission denied\n\n';
  return refusal('ERR_VAULT_DENIED', 403, said, { operator, fields });
}

/** Nothing there: clients take the empty list for that. */
export function missing(operator: string): VaultRefusal {
  return refusal('ERR_VAULT_PATH', 404, [], { operator });
}

export function noHandler(path: string): VaultRefusal {
  return refusal(
    'ERR_VAULT_PATH',
    404,
    `no handler for route "${path.slice(0, 200)}". route entry not found.`,
  );
}

export function unsupportedPath(): VaultRefusal {
  return refusal('ERR_VAULT_PATH', 404, '1 error occurred:\n\t* unsupported path\n\n');
}

export function unsupportedOperation(): VaultRefusal {
  return refusal('ERR_VAULT_PATH', 405, '1 error occurred:\n\t* unsupported operation\n\n');
}

/** What the issue flow refused: whoever has a token that may ask is told why. */
export function refusedByAuthority(denied: Denial): VaultRefusal {
  if (denied.code !== 'ERR_API_BUSY') return { ...denied, status: 400, errors: [denied.detail] };
  const headers = { 'retry-after': String(denied.fields?.retryAfterS ?? 1) };
  const told = 'more requests than can be worked off, try again later';
  return { ...denied, status: 503, errors: [told], headers };
}
