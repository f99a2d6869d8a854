import type { AuthzConnection, AuthzRequest, RuleSet } from '@countersign/authz';
import type { Denial } from '@countersign/base';
import { isAnonymous, type LiveConnection, type PeerOf } from '@countersign/mtls';
import {
  clientCertHeaders,
  formatXfcc,
  nameForHeader,
  subjectForHeader,
  xfccHeader,
} from '@countersign/wire';
import { formatName, type GeneralName } from '@countersign/x509';
import type { HopHeaders } from './caller-headers.ts';
import { clientCertDetails, passesOn } from './client-cert-details.ts';
import type { CallerFact, ClientCertDetails } from './model/listener-model.ts';
import type { RateLimitModel } from './model/rate-limit-model.ts';
import type { RbacTest } from './rbac-test.ts';
import { type Asker, connectionOf, type Trust } from './reask.ts';

/** What the rules were asked about a request that is on its way. */
export type InFlight = AuthzRequest;

/** What is the same for all connections of a listener's chain. */
export interface MetAt
  extends Pick<Session, 'protocol' | 'table' | 'trust' | 'by' | 'certDetails' | 'logsAccess'>,
    Pick<Session, 'callerHeaders' | 'withheld' | 'hops'>,
    Pick<Session, 'refusesUpgrades' | 'rbac' | 'rateLimits' | 'rules' | 'barred'> {
  /** By which rules know the listener; its own unless given. */
  readonly port: number | undefined;
}

/** One client connection and the requests that are on their way on it. */
export class Session implements Asker {
  readonly live: LiveConnection;
  readonly connection: AuthzConnection;
  /** Of an application's connection it is known only when it is known where that goes; see {@link goes}. */
  protocol: Asker['protocol'];
  /** Name of the route table that its requests go by. */
  table: string;
  readonly trust: Trust | undefined;
  /** What upstreams are told of its certificate; undefined: all that is known. */
  readonly certDetails: ClientCertDetails | undefined;
  readonly logsAccess: boolean;
  readonly refusesUpgrades: boolean;
  /** What upstreams are told of the caller beside. */
  readonly callerHeaders: Readonly<Record<string, CallerFact>> | undefined;
  /** Lowercase names of headers that nobody but the gateway says; a caller's own are stripped. */
  readonly withheld: ReadonlySet<string>;
  /** Signs what upstreams are told of it; absent: nothing is. */
  readonly hops: HopHeaders | undefined;
  /** What its requests have to pass beside the policies. */
  readonly rbac: RbacTest | undefined;
  readonly rateLimits: readonly RateLimitModel[];
  readonly rules: RuleSet | undefined;
  readonly barred: (() => Denial | undefined) | undefined;
  /** Our own name where it connected: a SPIFFE ID. */
  readonly by: () => string | undefined;
  readonly #nearEnd: number;
  readonly inFlight = new Set<InFlight>();
  /** Set where the protocol has a word for it: takes no more requests, and ends when those in flight are over. */
  onRetire: (() => void) | undefined;
  #identityHeaders:
    | { readonly by: string | undefined; readonly headers: readonly string[] }
    | undefined;

  constructor(live: LiveConnection, met: Partial<MetAt> = {}) {
    this.live = live;
    this.protocol = met.protocol ?? 'http';
    this.table = met.table ?? '';
    this.trust = met.trust;
    this.certDetails = met.certDetails;
    this.rbac = met.rbac;
    this.rateLimits = met.rateLimits ?? [];
    this.logsAccess = met.logsAccess ?? false;
    this.refusesUpgrades = met.refusesUpgrades ?? false;
    this.callerHeaders = met.callerHeaders;
    this.withheld = met.withheld ?? noNames;
    this.hops = met.hops;
    this.by = met.by ?? (() => undefined);
    this.rules = met.rules;
    this.barred = met.barred;
    this.connection = connectionOf(live.facts, met.port);
    this.#nearEnd = nearEndOf(live.peer);
  }

  /** It was found out where it goes, before anything of it was read. */
  goes({ name, protocol }: { readonly name: string; readonly protocol: 'http' | 'tcp' }): void {
    this.protocol = protocol;
    this.table = name;
  }

  /** Ends the connection as soon as nothing is on its way; a client that asks again opens another. */
  retire(): void {
    if (this.onRetire !== undefined) this.onRetire();
    else if (this.inFlight.size === 0) this.live.socket.destroySoon();
  }

  get peer(): PeerOf {
    return this.live.peer;
  }

  /** Names and values alternating. @param rawHeaders of the request, of which something may be passed on */
  identityHeaders(rawHeaders: readonly string[]): readonly string[] {
    const by = this.by();
    const known = this.#identityHeaders;
    if (known !== undefined && known.by === by) return known.headers;
    const { certDetails } = this;
    const headers =
      certDetails === undefined
        ? identityHeadersOf(this.peer, by)
        : clientCertDetails(certDetails, this.peer, by, rawHeaders);
    // Where something of the request is passed on, each has its own.
    if (certDetails === undefined || !passesOn(certDetails))
      this.#identityHeaders = { by, headers };
    return headers;
  }

  /**
   * Whether the client should open another connection for its next request, since the certificate of this one nears
   * its end: a fifth of its lifetime before. A client that rotated in time then shows its new one, and never loses a
   * request to the old one's expiry.
   */
  nearsExpiry(now: number): boolean {
    return now >= this.#nearEnd;
  }
}

const noNames: ReadonlySet<string> = new Set();

function nearEndOf(peer: PeerOf): number {
  if (isAnonymous(peer)) return Number.POSITIVE_INFINITY;
  const { notAfter, leaf } = peer;
  return notAfter - (notAfter - leaf.notBefore) / 5;
}

/** Names and values alternating. */
export function identityHeadersOf(peer: PeerOf, by: string | undefined): string[] {
  if (isAnonymous(peer)) return [];
  const xfcc = formatXfcc({
    by: by === undefined ? [] : [by],
    hash: peer.fingerprint,
    subject: subjectForHeader(formatName(peer.leaf.subject)),
    uri: valuesOf(peer.names, 'uri'),
    dns: valuesOf(peer.names, 'dns'),
  });
  return [xfccHeader, xfcc, ...Object.entries(clientCertHeaders(peer.chain)).flat()];
}

function valuesOf(names: readonly GeneralName[], kind: 'uri' | 'dns'): string[] {
  return names.flatMap((name) => (name.kind === kind ? [nameForHeader(name.value)] : []));
}
