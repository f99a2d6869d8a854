import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { type Clock, CountersignError, messageOf } from '@countersign/base';
import { dialMtls, expectSpiffeId } from '@countersign/mtls';
import { type BundleSource, parseBundleDocument, type TrustBundle } from '@countersign/spiffe';
import type { FederatedDomain } from '../agent-config.ts';

const maxBytes = 1024 * 1024;
const timeoutMs = 15_000;

export interface FetchContext {
  /** By which an endpoint of profile `https_spiffe` is known. */
  readonly bundles: BundleSource;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

type Endpoint = Exclude<FederatedDomain['source'], { kind: 'file' }>;

/**
 * The bundle that an endpoint serves (SPIFFE Federation §5): over TLS by the public's authorities, or by the trust
 * domain's own.
 *
 * @throws CountersignError ERR_AGENT_FEDERATION, with why as its cause
 */
export async function fetchBundle(
  trustDomain: string,
  endpoint: Endpoint,
  context: FetchContext,
): Promise<TrustBundle> {
  const attempted = `fetch the bundle of "${trustDomain}" from "${endpoint.url}"`;
  try {
    const signal = AbortSignal.any([context.signal, AbortSignal.timeout(timeoutMs)]);
    const url = new URL(endpoint.url);
    const request =
      endpoint.kind === 'https_web'
        ? httpsRequest(url, { signal, agent: false })
        : await requestOverMtls(url, endpoint.endpointSpiffeId, { ...context, signal });
    return parseBundleDocument(await textOf(request), trustDomain);
  } catch (thrown) {
    const fields = { trustDomain, url: endpoint.url };
    const message = `${attempted}: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_AGENT_FEDERATION', message, { fields, cause: thrown });
  }
}

// SPIFFE Federation §5.2.2: the server proves by an X.509-SVID that it is the endpoint's SPIFFE ID.
async function requestOverMtls(
  url: URL,
  spiffeId: string,
  { bundles, clock, signal }: FetchContext,
): Promise<ClientRequest> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const { socket } = await dialMtls({
    ...{ host, port: url.port === '' ? 443 : Number(url.port), bundles, clock, signal },
    servername: isIP(host) === 0 ? host : '',
    expect: expectSpiffeId(spiffeId),
  });
  return httpRequest({
    createConnection: () => socket,
    host: url.host,
    path: `${url.pathname}${url.search}`,
    headers: { connection: 'close' },
    signal,
  });
}

async function textOf(request: ClientRequest): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.on('error', reject);
    request.end();
  });
  try {
    // Redirects are not followed: where the bundle is was agreed upon.
    if (response.statusCode !== 200)
      throw new Error(`answered ${response.statusCode}, expected 200`);
    const parts: Buffer[] = [];
    let length = 0;
    for await (const part of response as AsyncIterable<Buffer>) {
      length += part.byteLength;
      if (length > maxBytes) throw new Error(`more than ${maxBytes} bytes`);
      parts.push(part);
    }
    return Buffer.concat(parts).toString('utf8');
  } finally {
    request.destroy();
  }
}
