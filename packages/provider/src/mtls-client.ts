import {
  type Clock,
  type Counter,
  CountersignError,
  denial,
  type Log,
  type Meter,
  messageOf,
} from '@countersign/base';
import { type ExpectPeer, expectName, expectSpiffeId, mtlsConnector } from '@countersign/mtls';
import type { BundleSource, Changes, SvidSource } from '@countersign/spiffe';
import { SignatureCache } from '@countersign/x509';
import { Agent, type Dispatcher, fetch } from 'undici';
import type { ProviderSettings } from './provider-options.ts';

/** `fetch`, with an end. */
export interface MtlsClient {
  (...request: Parameters<typeof fetch>): ReturnType<typeof fetch>;
  /** Requests in flight may finish. */
  close(): Promise<void>;
}

export interface ClientOptions {
  /** Who may answer: SPIFFE IDs. Default: any of the trust domain. */
  readonly spiffeIds?: readonly string[];
  /** Overrides `verifyHostname` of the provider. */
  readonly verifyHostname?: boolean;
  /** For connecting and the handshake; default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Says that `allowFallback` is meant, in production too. Default: what NODE_ENV says is for the caller to pass. */
  readonly isProduction?: boolean;
}

interface Surroundings extends ClientOptions {
  readonly provider: SvidSource & BundleSource & Changes & { renewNow(): Promise<void> };
  readonly settings: ProviderSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** See `MtlsProvider.buildClient`. */
export function openMtlsClient(options: Surroundings): MtlsClient {
  const { settings, log } = options;
  if (settings.allowFallback && options.isProduction === true) {
    throw new CountersignError('ERR_PROVIDER_FALLBACK', 'allowFallback is set in production');
  }
  if (settings.enabled) return mtlsClient(options);
  log.warn({ trustDomain: settings.trustDomain }, 'mTLS is off: this client is plaintext');
  const agent = new Agent();
  const plain = (...[input, init]: Parameters<typeof fetch>) =>
    fetch(input, { ...init, dispatcher: agent });
  return Object.assign(plain, { close: () => agent.close() });
}

function mtlsClient(options: Surroundings): MtlsClient {
  const { provider, settings, clock, log } = options;
  const fallbacks = fallbackCounter(options.meter);
  const signatures = new SignatureCache();
  let agent = openAgent();
  const retired = new Set<Promise<void>>();
  let isClosed = false;

  // The new pool is there before the old one ends, and the old one ends once its requests have.
  const unfollow = provider.onChange(function swapPools() {
    const old = agent;
    agent = openAgent();
    const ended = old.close().catch((thrown) => {
      log.debug({ reason: messageOf(thrown) }, 'a retired pool broke');
    });
    retired.add(ended);
    void ended.then(() => retired.delete(ended));
  });

  async function mtlsFetch(...[input, init]: Parameters<typeof fetch>) {
    if (isClosed) throw new CountersignError('ERR_PROVIDER_STOPPED', 'the client is closed');
    const url = new URL(input instanceof URL || typeof input === 'string' ? input : input.url);
    if (url.protocol !== 'https:') return await plaintext(url, 'its URL is without TLS');
    // An expired certificate would be refused: it is replaced before the dial.
    if (clock.now() > provider.svid().notAfter) await provider.renewNow();
    try {
      return await fetch(input, { ...init, dispatcher: agent });
    } catch (thrown) {
      const cause = causeOf(thrown);
      if (!settings.allowFallback || !(cause instanceof CountersignError)) throw cause;
      url.protocol = 'http:';
      return await plaintext(url, cause.message);
    }

    async function plaintext(target: URL, reason: string) {
      if (!settings.allowFallback) {
        const message = `fetch "${target.origin}": ${reason}, this client does mTLS alone`;
        throw new CountersignError('ERR_PROVIDER_PLAINTEXT', message);
      }
      fallbacks.add(1, { origin: target.origin });
      log.warn({ origin: target.origin, reason }, 'mTLS failed: falling back to plaintext');
      const request = typeof input === 'object' && 'method' in input ? input : undefined;
      return await fetch(target, { ...(request as object), ...init });
    }
  }

  function openAgent(): Dispatcher {
    const connects = new Map<string, ReturnType<typeof mtlsConnector>>();
    return new Agent({
      connect(request, callback) {
        const { hostname } = request;
        const known = connects.get(hostname);
        const connect = known ?? mtlsConnector(dialOptions(hostname));
        connects.set(hostname, connect);
        connect(request as never, callback as never);
      },
    });
  }

  function dialOptions(hostname: string) {
    return {
      ...{ svids: provider, bundles: provider, clock, signatures },
      expect: expectation(options, hostname),
      timeoutMs: options.connectTimeoutMs ?? 10_000,
    };
  }

  return Object.assign(mtlsFetch, {
    async close() {
      if (isClosed) return;
      isClosed = true;
      unfollow();
      await Promise.all([agent.close(), ...retired]);
    },
  });
}

/** SPIFFE ID and host name are separate questions, both asked. */
function expectation({ settings, ...options }: Surroundings, hostname: string): ExpectPeer {
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const isIp = /^[\d.]+$|:/.test(host);
  const named = expectName(isIp ? { ip: host } : { dns: host });
  const verifiesHost = options.verifyHostname ?? settings.verifyHostname;
  const { spiffeIds } = options;
  const identified = spiffeIds === undefined ? undefined : expectSpiffeId(...spiffeIds);
  return function expectServer(peer) {
    const domain = peer.spiffeId?.trustDomain;
    if (domain !== settings.trustDomain) {
      const sides = `peer is of trust domain "${domain ?? 'none'}", expected "${settings.trustDomain}"`;
      return denial('ERR_PEER_UNEXPECTED', sides, {
        shown: domain,
        expected: settings.trustDomain,
      });
    }
    const answer = identified?.(peer) ?? { ok: true };
    return answer.ok && verifiesHost ? named(peer) : answer;
  };
}

/** Undici's fetch wraps what the connection failed with. */
function causeOf(thrown: unknown): unknown {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  return cause instanceof CountersignError ? cause : thrown;
}

function fallbackCounter(meter: Meter): Counter {
  return meter.counter({
    name: 'countersign_plaintext_fallbacks_total',
    help: 'Requests that went out in plaintext because mTLS failed and allow_fallback is set.',
    labels: ['origin'],
  });
}
