import { type Clock, CountersignError, messageOf } from '@countersign/base';

export interface KmsRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly body?: unknown;
  /** For messages: `sign with key "root"`. */
  readonly attempted: string;
  /** False where a second call would do it twice. Default true. */
  readonly mayRepeat?: boolean;
}

export interface KmsRequester {
  /** Of the store, for messages. */
  readonly title: string;
  /** A bearer token that is good now; its library renews it. */
  readonly token: () => Promise<string>;
  readonly clock: Clock;
  /** For all tries together. */
  readonly timeoutMs: number;
}

const longestAnswer = 1024 * 1024;
/** Pauses before further tries where the service is busy or away. */
const pausesMs = [100, 400];

/**
 * A call of a key management service over its REST interface.
 *
 * @returns the JSON of its answer
 * @throws CountersignError ERR_SIGNER_KMS_REFUSED, ERR_SIGNER_KMS_UNREACHABLE, ERR_SIGNER_KEY where the key is not there
 */
export async function requestKms(request: KmsRequest, requester: KmsRequester): Promise<unknown> {
  const { clock, timeoutMs, title } = requester;
  return withinTime({ clock, timeoutMs, attempted: `${request.attempted} in ${title}` }, repeat);

  async function repeat(signal: AbortSignal): Promise<unknown> {
    for (const pauseMs of request.mayRepeat === false ? [] : pausesMs) {
      try {
        return await requestOnce(request, requester, signal);
      } catch (thrown) {
        if (!isUnreachable(thrown)) throw thrown;
        await clock.sleep(pauseMs, { signal });
      }
    }
    return requestOnce(request, requester, signal);
  }
}

/**
 * @throws CountersignError ERR_SIGNER_KMS_UNREACHABLE when the time is over
 */
export async function withinTime<T>(
  limits: { readonly clock: Clock; readonly timeoutMs: number; readonly attempted: string },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { clock, timeoutMs, attempted } = limits;
  const work$ = new AbortController();
  const waiting = new AbortController();
  const tooLate = clock.sleep(timeoutMs, { signal: waiting.signal }).then(() => {
    work$.abort();
    const message = `${attempted}: no answer within ${timeoutMs} ms`;
    throw new CountersignError('ERR_SIGNER_KMS_UNREACHABLE', message);
  });
  const working = work(work$.signal);
  try {
    return await Promise.race([working, tooLate]);
  } finally {
    waiting.abort();
    tooLate.catch(() => {});
    working.catch(() => {});
  }
}

/**
 * Bearer tokens and key operations go over TLS, or do not leave this machine.
 *
 * @returns the URL without a slash at its end
 * @throws CountersignError ERR_CONFIG_VALUE
 */
export function checkEndpoint(text: string, what: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLoopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url?.hostname ?? '');
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback)) {
    return text.replace(/\/+$/, '');
  }
  throw new CountersignError('ERR_CONFIG_VALUE', `${what}: expected an https URL, found "${text}"`);
}

async function requestOnce(
  { method, url, body, attempted }: KmsRequest,
  { token, title }: KmsRequester,
  signal: AbortSignal,
): Promise<unknown> {
  const what = `${attempted} in ${title}`;
  const bearer = await token().catch((thrown: unknown) => {
    const message = `${what}: no credentials: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_SIGNER_KMS_REFUSED', message, { cause: thrown });
  });
  let status: number;
  let text: string;
  try {
    const response = await fetch(url, {
      method,
      redirect: 'error',
      signal,
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    ({ status } = response);
    text = await readText(response);
  } catch (thrown) {
    const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
    const message = `${what}: ${messageOf(cause)}`;
    throw new CountersignError('ERR_SIGNER_KMS_UNREACHABLE', message, { cause: thrown });
  }
  const json = parseJson(text);
  if (status >= 200 && status < 300 && json !== undefined) return json;
  const message = `${what}: it answers ${status}${detailOf(json)}`;
  throw new CountersignError(codeOf(status), message, { fields: { status } });
}

/** @throws RangeError */
async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.byteLength;
    if (length > longestAnswer)
      throw new RangeError(`an answer of more than ${longestAnswer} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function codeOf(status: number) {
  if (status === 404 || status === 410) return 'ERR_SIGNER_KEY';
  if (status === 408 || status === 429 || status >= 500) return 'ERR_SIGNER_KMS_UNREACHABLE';
  return status < 300 ? 'ERR_SIGNER_KMS_UNREACHABLE' : 'ERR_SIGNER_KMS_REFUSED';
}

function isUnreachable(thrown: unknown): boolean {
  return thrown instanceof CountersignError && thrown.code === 'ERR_SIGNER_KMS_UNREACHABLE';
}

/** Both services put a sentence in `error.message`. */
function detailOf(json: unknown): string {
  const message = (json as { error?: { message?: unknown } } | undefined)?.error?.message;
  return typeof message === 'string' ? `: ${message.slice(0, 300)}` : '';
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
