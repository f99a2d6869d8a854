import { Secret, toBase64 } from '@countersign/base';
import { type JoinToken, parseJoinToken, revealJoinToken } from './join-token.ts';
import { formatKeyProof, type KeyProof, proofIn } from './key-proof.ts';
import { type Members, readMessage } from './read-message.ts';

/** What a caller may wish of a certificate; the authority decides. */
export interface CertificateWishes {
  /** Lifetime; the authority refuses more than its `max_validity`. Absent: its default. */
  readonly ttlMs?: number;
  /** Name of a profile. Absent: the one that is for such a request. */
  readonly profile?: string;
  /** Name of the intermediate that signs. Absent: the first whose constraints admit the names. */
  readonly issuer?: string;
}

/** `POST /v1/enrol`: a one-time token and a request signed by the key that the caller keeps. */
export interface EnrolRequest extends CertificateWishes {
  /** Binds the identity to a long-term key, which every renewal needs then. */
  readonly proof?: KeyProof;
  readonly token: JoinToken;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
}

export type AnyEnrolRequest = EnrolRequest | BearerEnrolRequest;

/** `POST /v1/renew`, over mTLS: the same names as the certificate that the caller shows. */
export interface RenewRequest extends CertificateWishes {
  /** By the long-term key of the identity, where it has one. */
  readonly proof?: KeyProof;
  readonly csr: Uint8Array;
}

/** `POST /v1/admin/issue`, on the admin socket alone: names by order of whoever holds the state. */
export interface AdminIssueRequest extends Omit<RenewRequest, 'proof'> {
  readonly spiffeId?: string;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
}

/** `POST /v1/admin/token`, on the admin socket alone: the names that the token's bearer will get. */
export interface TokenRequest {
  readonly spiffeId?: string;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  /** How long the token can be redeemed. Absent: the authority's default. */
  readonly ttlMs?: number;
}

export interface TokenResponse {
  readonly token: JoinToken;
  readonly expiresAt: number;
}

export interface IssueResponse {
  /** Absent where the certificate has DNS or IP names only. */
  readonly spiffeId?: string;
  /** Lowercase hexadecimal, minimal. */
  readonly serial: string;
  /** Milliseconds since the Unix epoch. */
  readonly notAfter: number;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** The SPIFFE bundle document of `trustDomain`, as an object; `parseBundleDocument` of `spiffe` reads its text. */
  readonly bundle: Readonly<Record<string, unknown>>;
  readonly trustDomain: string;
}

export const issueLimits = {
  csrBytes: 16 * 1024,
  certificateBytes: 64 * 1024,
  chainItems: 16,
  names: 64,
  nameLength: 2048,
  /** Names of profiles and intermediates. */
  wordLength: 64,
  /** Longer lifetimes are no wish but a mistake: ten years. */
  ttlMs: 10 * 366 * 86_400_000,
} as const;

const ttlRange = { min: 1000, max: issueLimits.ttlMs };
export const serialRule = {
  pattern: /^(?!00.)[0-9a-f]{1,40}$/,
  form: 'a serial number in lowercase hexadecimal without leading zeros',
} as const;

export function parseEnrolRequest(json: unknown): EnrolRequest {
  return readMessage('enrol request', json, (m) => ({
    token: parseJoinToken(m.text('token', { max: 256, secret: true })),
    csr: m.bytes('csr', issueLimits.csrBytes),
    ...proofIn(m),
    ...readWishes(m),
  }));
}

/** `POST /v1/enrol` with a token that another issuer made (`provisioners` of ca.yaml). */
export interface BearerEnrolRequest {
  readonly token: Secret<string>;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly ttlMs?: number;
  /** As of {@link EnrolRequest}. */
  readonly proof?: KeyProof;
  /** A certificate without a SPIFFE ID is of no use: such a token is refused, and not spent. Default false. */
  readonly needsSpiffeId?: boolean;
}

export function isBearerEnrolRequest(json: unknown): boolean {
  const token = (Object(json) as { readonly token?: unknown }).token;
  return typeof token === 'string' && isBearerToken(token);
}

/** Whether a token is a JWS (RFC 7515 §7.1) or an identity document of a cloud, and so no join token. */
export function isBearerToken(token: string): boolean {
  return /^ey[\w-]*\.[\w-]+\.[\w-]*$|^(?:aws|azure|tpm):/.test(token);
}

export function parseBearerEnrolRequest(json: unknown): BearerEnrolRequest {
  return readMessage('enrol request', json, (m) => {
    const ttlMs = m.optional('ttlMs', (name) => m.integer(name, ttlRange));
    const needsSpiffeId = m.optional('needsSpiffeId', (name) => m.boolean(name)) ?? false;
    return {
      token: new Secret(m.text('token', { max: 32 * 1024, secret: true })),
      csr: m.bytes('csr', issueLimits.csrBytes),
      ...proofIn(m),
      ...(ttlMs !== undefined && { ttlMs }),
      needsSpiffeId,
    };
  });
}

/** The one place besides the token command that writes a token's secret out. */
export function formatEnrolRequest(request: AnyEnrolRequest): string {
  const { token, csr, proof, ...wishes } = request;
  const needsSpiffeId = 'needsSpiffeId' in request && request.needsSpiffeId;
  return JSON.stringify({
    token: token instanceof Secret ? token.reveal() : revealJoinToken(token),
    csr: toBase64(csr),
    ...(proof !== undefined && { proof: formatKeyProof(proof) }),
    ...(needsSpiffeId === true && { needsSpiffeId }),
    ...wishesOf(wishes),
  });
}

export function parseRenewRequest(json: unknown): RenewRequest {
  return readMessage('renew request', json, (m) => ({
    csr: m.bytes('csr', issueLimits.csrBytes),
    ...proofIn(m),
    ...readWishes(m),
  }));
}

export function formatRenewRequest(request: RenewRequest): string {
  const { csr, proof, ...wishes } = request;
  const word = proof !== undefined && { proof: formatKeyProof(proof) };
  return JSON.stringify({ csr: toBase64(csr), ...word, ...wishesOf(wishes) });
}

const namesLimits = { maxItems: issueLimits.names, max: issueLimits.nameLength };

export function parseAdminIssueRequest(json: unknown): AdminIssueRequest {
  return readMessage('issue request', json, (m) => ({
    csr: m.bytes('csr', issueLimits.csrBytes),
    ...namesIn(m),
    ...readWishes(m),
  }));
}

export function formatAdminIssueRequest(request: AdminIssueRequest): string {
  return JSON.stringify({ ...request, csr: toBase64(request.csr) });
}

export function parseTokenRequest(json: unknown): TokenRequest {
  return readMessage('token request', json, (m) => ({
    ...namesIn(m),
    ...ttlOf(m.optional('ttlMs', (name) => m.integer(name, ttlRange))),
  }));
}

export function formatTokenRequest(request: TokenRequest): string {
  return JSON.stringify(request);
}

export function parseTokenResponse(json: unknown): TokenResponse {
  return readMessage(
    'token response',
    json,
    (m) => ({
      token: parseJoinToken(m.text('token', { max: 256, secret: true })),
      expiresAt: m.integer('expiresAt', { min: 0 }),
    }),
    { unknown: 'ignore' },
  );
}

export function formatTokenResponse(response: TokenResponse): string {
  return JSON.stringify({
    token: revealJoinToken(response.token),
    expiresAt: response.expiresAt,
  });
}

export function parseIssueResponse(json: unknown): IssueResponse {
  return readMessage(
    'issue response',
    json,
    (m) => ({
      ...spiffeIdOf(m.optional('spiffeId', (name) => m.text(name, { max: 2048 }))),
      serial: m.text('serial', serialRule),
      notAfter: m.integer('notAfter', { min: 0 }),
      chain: m.listOfBytes('chain', {
        minItems: 1,
        maxItems: issueLimits.chainItems,
        maxBytes: issueLimits.certificateBytes,
      }),
      bundle: m.object('bundle'),
      trustDomain: m.text('trustDomain', { max: 255 }),
    }),
    { unknown: 'ignore' },
  );
}

export function formatIssueResponse(response: IssueResponse): string {
  const { bundle, chain, trustDomain, ...rest } = response;
  const [leaf = new Uint8Array(), ...above] = chain;
  const certificates = [JSON.stringify(toBase64(leaf)), ...above.map(writtenCertificate)];
  const said = JSON.stringify({ ...rest, trustDomain }).slice(0, -1);
  return `${said},"chain":[${certificates.join()}],"bundle":${writtenBundle(bundle)}}`;
}

/** What all answers of an issuer share, as JSON: it is the same value in each, so it is written once. */
function writtenCertificate(der: Uint8Array): string {
  const known = certificatesWritten.get(der);
  if (known !== undefined) return known;
  const written = JSON.stringify(toBase64(der));
  certificatesWritten.set(der, written);
  return written;
}

function writtenBundle(bundle: IssueResponse['bundle']): string {
  const known = bundlesWritten.get(bundle);
  if (known !== undefined) return known;
  const written = JSON.stringify(bundle);
  bundlesWritten.set(bundle, written);
  return written;
}

const certificatesWritten = new WeakMap<Uint8Array, string>();
const bundlesWritten = new WeakMap<IssueResponse['bundle'], string>();

export function namesIn(m: Members): Pick<AdminIssueRequest, 'spiffeId' | 'dns' | 'ip'> {
  return {
    ...spiffeIdOf(m.optional('spiffeId', (name) => m.text(name, { max: 2048 }))),
    dns: m.optional('dns', (name) => m.listOfTexts(name, namesLimits)) ?? [],
    ip: m.optional('ip', (name) => m.listOfTexts(name, namesLimits)) ?? [],
  };
}

export function readWishes(m: Members): CertificateWishes {
  const text = (name: string) => m.text(name, { min: 1, max: issueLimits.wordLength });
  return wishesOf({
    ttlMs: m.optional('ttlMs', (name) => m.integer(name, ttlRange)),
    profile: m.optional('profile', text),
    issuer: m.optional('issuer', text),
  });
}

export function wishesOf(
  wishes: {
    readonly [Name in keyof CertificateWishes]: CertificateWishes[Name] | undefined;
  },
): CertificateWishes {
  const { ttlMs, profile, issuer } = wishes;
  return {
    ...ttlOf(ttlMs),
    ...(profile === undefined ? {} : { profile }),
    ...(issuer === undefined ? {} : { issuer }),
  };
}

function ttlOf(ttlMs: number | undefined): { ttlMs?: number } {
  return ttlMs === undefined ? {} : { ttlMs };
}

function spiffeIdOf(spiffeId: string | undefined): { spiffeId?: string } {
  return spiffeId === undefined ? {} : { spiffeId };
}
