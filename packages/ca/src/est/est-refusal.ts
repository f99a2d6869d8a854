import { type Denial, denial, type ErrorCode, type Fields } from '@countersign/base';

/** A refusal in EST's words: `told` is for the client, `detail` for the operator. */
export interface EstRefusal extends Denial {
  readonly status: number;
  readonly told: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

const refusals = {
  credentials: [401, 'ERR_EST_CREDENTIALS'],
  rate: [429, 'ERR_EST_RATE'],
  path: [404, 'ERR_EST_PATH'],
  method: [405, 'ERR_EST_PATH'],
  request: [400, 'ERR_EST_REQUEST'],
  mediaType: [415, 'ERR_EST_REQUEST'],
  tooLarge: [413, 'ERR_EST_REQUEST'],
  binding: [400, 'ERR_EST_BINDING'],
  names: [403, 'ERR_EST_NAMES'],
  entrance: [403, 'ERR_EST_CREDENTIALS'],
  keygen: [400, 'ERR_EST_KEYGEN'],
  unsupported: [501, 'ERR_EST_UNSUPPORTED'],
  internal: [503, 'ERR_EST_INTERNAL'],
} as const satisfies Record<string, readonly [status: number, code: ErrorCode]>;

export function refusal(
  kind: keyof typeof refusals,
  told: string,
  more: {
    /** For the log. Default: what the client is told. */
    readonly operator?: string;
    readonly fields?: Fields;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): EstRefusal {
  const [status, code] = refusals[kind];
  const { operator = told, fields, headers } = more;
  return { ...denial(code, operator, fields), status, told, headers };
}

/** The same words whatever was wrong with the credential. */
export function wrongCredentials(operator: string): EstRefusal {
  return refusal(
    'credentials',
    'a user with a password, a one-time token or a certificate is needed',
    {
      operator,
      // RFC 7617 §2.1
      headers: { 'WWW-Authenticate': 'Basic realm="est", charset="UTF-8"' },
    },
  );
}

/** After which the client asks once more; the authority may have taken up its key by then. */
const waitSeconds = 10;

/** What the flow behind the door refuses, which its caller may know. */
export function refusalOfDenial(refused: Denial): EstRefusal {
  const { code, detail, fields } = refused;
  if (code.startsWith('ERR_TOKEN_')) return { ...wrongCredentials(detail), code, fields };
  // RFC 7030 §4.2.3: the order waits, the client repeats it
  if (code.startsWith('ERR_ROTATION_')) {
    const told = 'the request waits for a key of the authority, repeat it';
    const headers = { 'Retry-After': String(fields.retryAfterS ?? waitSeconds) };
    return { ...refused, status: 202, told, headers };
  }
  if (code === 'ERR_API_BUSY') {
    const headers = { 'Retry-After': String(fields.retryAfterS ?? waitSeconds) };
    return { ...refused, status: 503, told: 'more requests than can be worked off', headers };
  }
  return { ...refused, status: isMalformed(code) ? 400 : 403, told: detail };
}

/** What no policy could make good. */
function isMalformed(code: ErrorCode): boolean {
  return code.startsWith('ERR_DER_') || code.startsWith('ERR_CSR_') || code.startsWith('ERR_KEY_');
}
