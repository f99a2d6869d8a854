import { type Denial, denial } from '@countersign/base';
import { VerifiedPeer } from '@countersign/spiffe';
import { formatName, type GeneralName } from '@countersign/x509';
import type { AuthzQuestion, AuthzRequest } from './authorize.ts';
import type { MeshSettings } from './policy/mesh-settings.ts';
import { clientAddress } from './request/client-address.ts';
import { hasHeader, headerValues } from './request/header-lines.ts';
import { type NormalizedPath, normalizePath } from './request/normalize-path.ts';
import { normalizeClaims } from './rules/claim-match.ts';
import { type IpAddress, parseIp } from './rules/ip-block.ts';
import type { Claims, PeerNames, RequestFacts, RuleFacts } from './rules/rule-facts.ts';
import type { MatchesText } from './rules/text-match.ts';

/** The filter under which the roles of an identity are told to rules. */
export const identityFilter = 'envoy.filters.countersign.identity';

/** What rules look at in a question; most of it is taken only when a rule asks for it. */
export class QuestionFacts implements RuleFacts {
  readonly names: PeerNames | undefined;
  readonly serverName: string;
  readonly destinationPort: number | undefined;
  readonly request: QuestionRequest | undefined;
  readonly #question: AuthzQuestion;
  readonly #trustedProxies: number;
  #sourceIp: IpAddress | undefined | null = null;
  #remoteIp: IpAddress | undefined | null = null;

  constructor(
    question: AuthzQuestion,
    request: QuestionRequest | undefined,
    trustedProxies: number,
  ) {
    const { peer, connection } = question;
    this.#question = question;
    this.#trustedProxies = trustedProxies;
    this.request = request;
    this.names = VerifiedPeer.is(peer) ? namesOf(peer) : undefined;
    this.serverName = lowercase(connection?.serverName ?? '');
    this.destinationPort = connection?.destinationPort;
  }

  /** The same with another reading of the path. */
  readAs(path: string): QuestionFacts {
    return new QuestionFacts(this.#question, this.request?.readAs(path), this.#trustedProxies);
  }

  get sourceIp(): IpAddress | undefined {
    if (this.#sourceIp === null) this.#sourceIp = readSocketIp(this.#question.connection?.sourceIp);
    return this.#sourceIp;
  }

  get remoteIp(): IpAddress | undefined {
    if (this.#remoteIp === null) {
      const remote = this.#question.request?.remoteIp ?? this.#forwardedFor();
      this.#remoteIp = remote === undefined ? this.#connectionIp() : parseIp(remote);
    }
    return this.#remoteIp;
  }

  /** Who a trusted proxy says it is for: of the request, as many of them as the mesh has. */
  #forwardedFor(): string | undefined {
    const { rawHeaders } = this.#question.request ?? {};
    if (this.#trustedProxies === 0 || rawHeaders === undefined) return undefined;
    const [values] = headerValues(rawHeaders, 'x-forwarded-for');
    return values === undefined ? undefined : clientAddress(values, this.#trustedProxies - 1);
  }

  #connectionIp(): IpAddress | undefined {
    const remote = this.#question.connection?.remoteIp;
    return remote === undefined ? this.sourceIp : readSocketIp(remote);
  }

  get destinationIp(): IpAddress | undefined {
    return readSocketIp(this.#question.connection?.destinationIp);
  }

  metadata(filter: string): Claims | undefined {
    const { identity } = this.#question;
    return filter === identityFilter && identity !== undefined ? { ...identity } : undefined;
  }
}

/** The request of a question, its path normalised. */
export class QuestionRequest implements RequestFacts {
  readonly path: string;
  readonly #query: string;
  readonly #request: AuthzRequest;
  #claims: Claims | undefined | null = null;

  constructor(request: AuthzRequest, path: NormalizedPath) {
    this.path = path.path;
    this.#query = path.query;
    this.#request = request;
  }

  readAs(path: string): QuestionRequest {
    return new QuestionRequest(this.#request, { path, query: this.#query });
  }

  get method(): string {
    return this.#request.method;
  }

  get host(): string {
    return this.#request.host ?? '';
  }

  get claims(): Claims | undefined {
    if (this.#claims === null) {
      const { claims, spaceDelimitedClaims = [] } = this.#request;
      this.#claims =
        claims === undefined ? undefined : normalizeClaims(claims, spaceDelimitedClaims);
    }
    return this.#claims;
  }

  hasHeader(name: string, matches: MatchesText | undefined): boolean {
    const pseudo = this.#pseudoHeader(name);
    if (pseudo !== undefined) return matches?.(pseudo) ?? true;
    return hasHeader(this.#request.rawHeaders ?? [], name, matches);
  }

  headerValues(name: string): readonly string[] {
    const pseudo = this.#pseudoHeader(name);
    return pseudo === undefined ? headerValues(this.#request.rawHeaders ?? [], name) : [pseudo];
  }

  /** What Envoy keeps beside the headers, under names of HTTP/2. */
  #pseudoHeader(name: string): string | undefined {
    if (name === ':authority' || name === 'host') return this.host;
    if (!name.startsWith(':')) return undefined;
    if (name === ':method') return this.method;
    if (name === ':path') return `${this.path}${this.#query}`;
    return name === ':scheme' ? (this.#request.scheme ?? 'https') : undefined;
  }
}

/** The facts, or why the request cannot be judged: ERR_AUTHZ_PATH. */
export function factsOf(question: AuthzQuestion, mesh: MeshSettings): QuestionFacts | Denial {
  const { request, protocol } = question;
  if (request === undefined || protocol === 'tcp') {
    return new QuestionFacts(question, undefined, 0);
  }
  const path = normalizePath(request.path, mesh.pathNormalization);
  if (typeof path === 'string') return denial('ERR_AUTHZ_PATH', `the path ${path}`);
  return new QuestionFacts(question, new QuestionRequest(request, path), mesh.trustedProxies);
}

const known = new WeakMap<VerifiedPeer, PeerNames>();

/** Taken from a certificate once, for a connection has many questions. */
function namesOf(peer: VerifiedPeer): PeerNames {
  const before = known.get(peer);
  if (before !== undefined) return before;
  const names = {
    uris: valuesOf(peer.names, 'uri'),
    dnsNames: valuesOf(peer.names, 'dns'),
    subject: formatName(peer.leaf.subject),
  };
  known.set(peer, names);
  return names;
}

function valuesOf(names: readonly GeneralName[], kind: 'uri' | 'dns'): readonly string[] {
  return names.flatMap((name) => (name.kind === kind ? [name.value] : []));
}

/** A v4 address that a dual-stack socket shows as v6 is the v4 address. */
function readSocketIp(text: string | undefined): IpAddress | undefined {
  if (text === undefined) return undefined;
  return parseIp(text.startsWith('::ffff:') && text.includes('.') ? text.slice(7) : text);
}

function lowercase(text: string): string {
  return /[A-Z]/.test(text) ? text.toLowerCase() : text;
}
