import { randomInt } from 'node:crypto';
import { type Clock, CountersignError, systemClock } from '@countersign/base';
import { certificatesFromPem } from '@countersign/x509';
import type { NamedCertificate } from '../../prove-named-certificate.ts';
import { isSelfSigned } from '../ask-issuer.ts';
import type {
  CertificateNames,
  Issuer,
  IssuerAnswer,
  IssuerOrder,
  RootsSource,
} from '../issuer.ts';
import { checkIssuerUrl, IssuerHttp, type IssuerReply, printable } from '../issuer-http.ts';
import { base64Url, thumbprint } from '../jws.ts';
import { type AcmeProof, type Challenge, showProof } from './acme-proof.ts';
import { AcmeSession, type ExternalAccountKey } from './acme-session.ts';

export interface AcmeIssuerOptions {
  /** Of the directory. */
  readonly url: string;
  /** The account's key, 0600; made where there is none. */
  readonly accountKeyFile: string;
  /** `mailto:` addresses. */
  readonly contact?: readonly string[] | undefined;
  /** Whether the authority's terms of service are agreed to. */
  readonly agreesToTerms?: boolean | undefined;
  readonly externalAccount?: ExternalAccountKey | undefined;
  /** One of those in the directory; the authority's default unless given. */
  readonly profile?: string | undefined;
  readonly proof: AcmeProof;
  /** Who may vouch for its TLS certificate; the roots that Node brings unless given. */
  readonly serverRoots?: RootsSource | undefined;
  /** For each call. 15,000 unless given. */
  readonly timeoutMs?: number | undefined;
  /** For an order, from its start to the certificate. 300,000 unless given. */
  readonly orderTimeoutMs?: number | undefined;
  readonly clock?: Clock;
}

interface Resource {
  readonly status?: unknown;
  readonly error?: unknown;
  readonly identifier?: { readonly type?: unknown; readonly value?: unknown };
  readonly authorizations?: readonly string[];
  readonly challenges?: readonly {
    type?: unknown;
    url?: unknown;
    token?: unknown;
    error?: unknown;
  }[];
  readonly finalize?: string;
  readonly certificate?: string;
}

const pollMs = { first: 200, most: 5000 } as const;
/** The table's is about names that are not admitted. */
const proofHint =
  'the authority has to find the proof: by its name, at the port that it asks, from where it stands';

/**
 * Any ACME authority (RFC 8555), with external accounts, IP addresses (RFC 8738), profiles, and renewals when it suggests
 * them (RFC 9773). A SPIFFE ID is none of what ACME proves: where one is asked for, the profile has to add it, as ours can.
 *
 * @throws CountersignError ERR_ISSUER_CONFIG
 */
export function acmeIssuer(options: AcmeIssuerOptions): Issuer {
  const {
    clock = systemClock,
    proof,
    profile,
    serverRoots,
    timeoutMs,
    orderTimeoutMs = 300_000,
  } = options;
  const title = `ACME server at "${options.url}"`;
  const directoryUrl = checkIssuerUrl(options.url, title).href;
  const http = new IssuerHttp({ title, serverRoots, timeoutMs, detailOf });
  const session = new AcmeSession({
    ...{ http, directoryUrl, accountKeyFile: options.accountKeyFile },
    contact: options.contact ?? [],
    agreesToTerms: options.agreesToTerms ?? false,
    externalAccount: options.externalAccount,
  });

  async function issue(order: IssuerOrder): Promise<IssuerAnswer> {
    const tooLong = AbortSignal.timeout(orderTimeoutMs);
    const signal = AbortSignal.any([order.signal, tooLong]);
    try {
      // 1. the order
      const opened = await openOrder(order, signal);
      const { location: orderUrl } = opened.headers;
      if (orderUrl === undefined) {
        const message = `answer of ${title}: an order without its address`;
        throw new CountersignError('ERR_ISSUER_ANSWER', message);
      }
      const { authorizations = [], finalize = '' } = resourceOf(opened);
      // 2. control of each name
      await prove(authorizations, identifiersOf(order.names), signal);
      // 3. the request
      await poll('order', orderUrl, ['ready'], signal);
      const body = { csr: base64Url(order.csr) };
      await session.post('finalize the order', finalize, body, signal);
      const { certificate = '' } = await poll('order', orderUrl, ['valid'], signal);
      // 4. the certificate
      const { text } = await session.post('fetch the certificate', certificate, undefined, signal);
      return chainOf(text);
    } catch (thrown) {
      if (!tooLong.aborted || order.signal.aborted) throw thrown;
      const message = `order at ${title}: not done within ${orderTimeoutMs} ms`;
      throw new CountersignError('ERR_ISSUER_UNREACHABLE', message, { cause: thrown });
    }
  }

  async function openOrder(order: IssuerOrder, signal: AbortSignal): Promise<IssuerReply> {
    const { newOrder, renewalInfo, profiles } = await session.directory(signal);
    if (profile !== undefined && !profiles.includes(profile)) {
      const message = `${title} has profiles "${profiles.join('", "')}", none is "${profile}"`;
      throw new CountersignError('ERR_ISSUER_CONFIG', message);
    }
    const wanted = {
      identifiers: identifiersOf(order.names),
      ...(profile === undefined ? {} : { profile }),
    };
    const replaces = renewalInfo === undefined ? undefined : certificateId(order.held);
    const open = (body: object) => session.post('open an order', newOrder, body, signal);
    if (replaces === undefined) return await open(wanted);
    // RFC 9773 §5: it may know nothing of the one before, or have replaced it already.
    return await open({ ...wanted, replaces }).catch((thrown: unknown) => {
      if ((thrown as { code?: unknown }).code !== 'ERR_ISSUER_REFUSED') throw thrown;
      return open(wanted);
    });
  }

  async function prove(
    urls: readonly string[],
    ordered: readonly Identifier[],
    signal: AbortSignal,
  ): Promise<void> {
    const pending: (Challenge & { readonly url: string; readonly authorization: string })[] = [];
    const print = thumbprint(await session.accountKey());
    for (const url of urls) {
      const reply = await session.post('read an authorization', url, undefined, signal);
      const { status, identifier, challenges = [] } = resourceOf(reply);
      const name = String(identifier?.value);
      // RFC 8555 §7.1.3: an order's authorizations are for its own names; nothing is shown for another.
      const isOrdered = ordered.some(
        ({ type, value }) => type === identifier?.type && bare(type, value) === bare(type, name),
      );
      if (!isOrdered) {
        const found = printable(`${String(identifier?.type)} ${name}`);
        const expected = ordered.map(({ type, value }) => `${type} ${value}`).join('", "');
        const message = `authorization of ${title} is for "${found}", expected one of "${expected}"`;
        throw new CountersignError('ERR_ISSUER_ANSWER', message);
      }
      if (status === 'valid') continue;
      const offered = challenges.find(({ type }) => type === proof.method);
      if (offered === undefined) {
        const types = challenges.map(({ type }) => String(type)).join(', ');
        const message = `${title} takes ${types} for "${printable(name)}", configured is ${proof.method}`;
        throw new CountersignError('ERR_ISSUER_CONFIG', message);
      }
      const token = String(offered.token);
      const keyAuthorization = `${token}.${print}`;
      pending.push({ name, token, keyAuthorization, url: String(offered.url), authorization: url });
    }
    if (pending.length === 0) return;
    const shown = await showProof(proof, pending, clock);
    try {
      for (const each of pending) await session.post('answer a challenge', each.url, {}, signal);
      for (const each of pending) {
        await poll(
          `authorization of "${printable(each.name)}"`,
          each.authorization,
          ['valid'],
          signal,
        );
      }
    } finally {
      await shown.stop();
    }
  }

  async function poll(
    what: string,
    url: string,
    until: readonly string[],
    signal: AbortSignal,
  ): Promise<Resource> {
    for (let waitMs: number = pollMs.first; ; waitMs = Math.min(waitMs * 2, pollMs.most)) {
      const reply = await session.post(`read the ${what}`, url, undefined, signal);
      const resource = resourceOf(reply);
      const status = String(resource.status);
      if (until.includes(status) || status === 'valid') return resource;
      if (!['pending', 'processing', 'ready'].includes(status)) {
        const why = resource.error ?? resource.challenges?.find(({ error }) => error)?.error;
        const detail = printable(detailOf(why) ?? 'it says no reason');
        const message = `${what} at ${title} is ${printable(status)}: ${detail}`;
        const isProof = resource.challenges !== undefined;
        throw new CountersignError('ERR_ISSUER_REFUSED', message, {
          ...(isProof && { hint: proofHint }),
        });
      }
      const hint = Number(reply.headers['retry-after']) * 1000;
      await clock.sleep(hint > 0 ? Math.min(hint, pollMs.most) : waitMs, { signal });
    }
  }

  function chainOf(pem: string): IssuerAnswer {
    try {
      const chain = certificatesFromPem(pem);
      return { chain, roots: chain.filter(isSelfSigned) };
    } catch (thrown) {
      const message = `answer of ${title}: no chain of certificates`;
      throw new CountersignError('ERR_ISSUER_ANSWER', message, { cause: thrown });
    }
  }

  return {
    title,
    issue,
    namesInRequest: ({ dns, ip }) => ({ dns, ip }),
    async renewalWish(held, signal) {
      const { renewalInfo } = await session.directory(signal);
      const id = certificateId(held);
      if (renewalInfo === undefined || id === undefined) return undefined;
      const url = `${renewalInfo.replace(/\/+$/, '')}/${id}`;
      const asked = { attempted: 'ask when to renew', method: 'GET', url, signal } as const;
      const { json, headers } = await http.call(asked);
      const { start, end } = Object(Object(json).suggestedWindow);
      const [from, to] = [Date.parse(String(start)), Date.parse(String(end))];
      // RFC 9773 §4.2: a window that ends before it begins is none.
      if (!(from <= to)) return undefined;
      const seconds = Number(headers['retry-after']);
      return {
        // So that not everybody comes at its start.
        at: from + ((to - from) * randomInt(1000)) / 1000,
        askAgainMs: seconds > 0 ? seconds * 1000 : 6 * 3_600_000,
      };
    },
  };
}

interface Identifier {
  readonly type: string;
  readonly value: string;
}

function identifiersOf({ dns, ip }: CertificateNames): readonly Identifier[] {
  const named = dns.map((value) => ({ type: 'dns', value: value.toLowerCase() }));
  const all = [...named, ...ip.map((value) => ({ type: 'ip', value }))];
  if (all.length > 0) return all;
  const message = 'ACME proves DNS names and addresses, and none is asked for';
  throw new CountersignError('ERR_ISSUER_CONFIG', message);
}

/** For comparison: without the wildcard (RFC 8555 §7.1.4), and addresses as the URL standard writes them. */
function bare(type: string, value: string): string {
  if (type !== 'ip') return value.toLowerCase().replace(/^\*\./, '');
  const url = value.includes(':') ? `http://[${value}]` : `http://${value}`;
  return URL.canParse(url) ? new URL(url).hostname : value;
}

/** RFC 9773 §4.1. */
function certificateId(held: NamedCertificate | undefined): string | undefined {
  const leaf = held?.chain[0];
  const keyId = leaf?.authorityKeyId?.keyId;
  if (leaf === undefined || keyId === undefined) return undefined;
  return `${base64Url(keyId)}.${base64Url(leaf.serial)}`;
}

function resourceOf({ json }: IssuerReply): Resource {
  return Object(json) as Resource;
}

/** RFC 7807, with the problems of single names below it (RFC 8555 §6.7.1). */
function detailOf(json: unknown): string | undefined {
  const { type, detail, subproblems } = Object(json) as Record<string, unknown>;
  if (typeof detail !== 'string' && typeof type !== 'string') return undefined;
  const kind = String(type ?? '').replace('urn:ietf:params:acme:error:', '');
  const below = Array.isArray(subproblems) ? subproblems.map(detailOf) : [];
  return [`${kind}: ${String(detail ?? '')}`, ...below].join('; ');
}
