import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { nodeHttp } from '@countersign/base';
import { NameFailure } from './names.ts';
import type { Claim, Found, Look } from './validators.ts';

const mostRedirects = 10;
/** A key authorization has less than two hundred octets. */
const mostOctets = 4096;

/** RFC 8555 §8.3: what stands at the token's address over plain HTTP; redirects are followed. */
export async function lookAtHttp(claim: Claim, look: Look): Promise<Found> {
  const { value } = claim.identifier;
  const host = isIP(value) === 6 ? `[${value}]` : value;
  let url = new URL(
    `http://${host}:${look.config.httpPort}/.well-known/acme-challenge/${claim.token}`,
  );
  for (let hops = 0; hops <= mostRedirects; hops += 1) {
    const answer = await fetchFrom(url, look);
    if ('problem' in answer) return answer.problem;
    const { status, location, body } = answer;
    if (status >= 300 && status < 400 && location !== undefined) {
      const next = redirected(url, location, look);
      if ('problem' in next) return next.problem;
      url = next.url;
      continue;
    }
    if (status !== 200) {
      return { type: 'unauthorized', detail: `"${url.href}" answered ${status}`, again: true };
    }
    // RFC 8555 §8.3: white space at the end is ignored
    const text = body.toString('utf8').trimEnd();
    if (text === claim.keyAuthorization) return undefined;
    const sides = `expected "${claim.keyAuthorization}"`;
    const found = JSON.stringify(text.slice(0, 80));
    return {
      type: 'unauthorized',
      detail: `"${url.href}" answered ${found}, ${sides}`,
      again: true,
    };
  }
  return { type: 'connection', detail: `more than ${mostRedirects} redirects` };
}

type Fetched =
  | { readonly status: number; readonly location: string | undefined; readonly body: Buffer }
  | { readonly problem: NonNullable<Found> };

async function fetchFrom(url: URL, look: Look): Promise<Fetched> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  let addresses: readonly string[];
  try {
    addresses = await look.names.addresses(host, look.guard);
  } catch (thrown) {
    if (!(thrown instanceof NameFailure)) throw thrown;
    return { problem: { type: 'dns', detail: thrown.message, again: thrown.again } };
  }
  let failure: unknown;
  for (const address of addresses) {
    try {
      return await exchange(url, address, look.signal);
    } catch (thrown) {
      if (look.signal.aborted) throw thrown;
      failure = thrown;
    }
  }
  const { code } = failure as { code?: string };
  const detail = `"${url.origin}" at ${addresses.join(', ')}: ${code ?? 'no HTTP answer'}`;
  return { problem: { type: 'connection', detail, again: true } };
}

/** To the very address that was looked at: a name that leads elsewhere a moment later is not asked again. */
async function exchange(url: URL, address: string, signal: AbortSignal): Promise<Fetched> {
  const family = isIP(address) as 4 | 6;
  // RFC 8555 §8.3, §10.2: behind a redirect to https no certificate is checked: this is how one is got
  const send = url.protocol === 'https:' ? httpsRequest : nodeHttp().request;
  const asked: ClientRequest = send(url, {
    agent: false,
    headers: { 'user-agent': 'countersign-acme', 'accept-encoding': 'identity' },
    maxHeaderSize: 16_384,
    rejectUnauthorized: false,
    signal,
    lookup: (_host, options, done) => {
      if (options.all === true) done(null, [{ address, family }]);
      else done(null, address, family);
    },
  });
  asked.end();
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      asked.once('response', resolve);
      asked.once('error', reject);
    });
    answer.on('error', () => {});
    const body = await beginningOf(answer);
    // What was still to come when its time was over is no answer.
    if (signal.aborted) throw signal.reason;
    return { status: answer.statusCode ?? 0, location: answer.headers.location, body };
  } finally {
    asked.on('error', () => {});
    asked.destroy();
  }
}

/** What streams on for ever is not read for ever. */
async function beginningOf(answer: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of answer) {
    parts.push(part as Buffer);
    length += (part as Buffer).byteLength;
    if (length >= mostOctets) break;
  }
  return Buffer.concat(parts).subarray(0, mostOctets);
}

/** RFC 8555 §10.4: to http and https on their own ports, or on that of the challenge, and nowhere that is guarded. */
function redirected(
  from: URL,
  location: string,
  { config }: Look,
): { readonly url: URL } | { readonly problem: NonNullable<Found> } {
  const refuse = (why: string) => ({
    problem: {
      type: 'connection',
      detail: `redirect to "${location.slice(0, 200)}": ${why}`,
    } as const,
  });
  if (location.length > 2000 || !URL.canParse(location, from)) return refuse('is no address');
  const url = new URL(location, from);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    return refuse('http and https are followed');
  if (url.username !== '' || url.password !== '') return refuse('has a user name');
  const port = url.port === '' ? (url.protocol === 'http:' ? 80 : 443) : Number(url.port);
  const ports = [80, 443, config.httpPort, config.tlsAlpnPort];
  if (!ports.includes(port)) return refuse(`port ${port} is not followed`);
  return { url };
}
