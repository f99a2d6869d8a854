import { CountersignError } from '@countersign/base';
import {
  AuthorityExchange,
  type AuthorityExchangeOptions,
  type CallOptions,
} from './authority-exchange.ts';
import {
  type BatchRequest,
  type BatchResponse,
  formatBatchRequest,
  parseBatchResponse,
} from './batch-messages.ts';
import { type CertificateOfKey, parseCertificatesOfKey } from './certificates-of-key.ts';
import {
  type AgentFrame,
  type EntryDraft,
  formatEntryDeletion,
  formatEntryDraft,
  parseEntryList,
  parseRegisteredEntry,
  type RegisteredEntry,
  readAgentFrames,
} from './entry-messages.ts';
import { type IssueExplanation, parseIssueExplanation } from './explain-messages.ts';
import type { FeedFrame } from './feed-frame.ts';
import { readFeed } from './feed-reader.ts';
import {
  type AdminIssueRequest,
  type AnyEnrolRequest,
  formatAdminIssueRequest,
  formatEnrolRequest,
  formatRenewRequest,
  formatTokenRequest,
  type IssueResponse,
  parseIssueResponse,
  parseTokenResponse,
  type RenewRequest,
  type TokenRequest,
  type TokenResponse,
} from './issue-messages.ts';
import {
  formatJwtSvidOrder,
  type JwtSvidAnswer,
  type JwtSvidOrder,
  parseJwtSvidAnswer,
} from './jwt-messages.ts';
import { formatKeyRevokeRequest, type KeyRevokeRequest } from './key-revoke-messages.ts';
import {
  formatLeaseRequest,
  type LeaseRequest,
  type LeaseResponse,
  parseLeaseResponse,
} from './lease-messages.ts';
import { formatLedgerReadRequest, type LedgerReadRequest } from './ledger-messages.ts';
import {
  formatImportListRequest,
  type ImportListResponse,
  parseImportListResponse,
} from './list-messages.ts';
import { parseJsonBody } from './read-message.ts';
import {
  formatRevokeRequest,
  parseRevokeResponse,
  type RevokeRequest,
  type RevokeResponse,
} from './revoke-messages.ts';
import {
  formatRotationRequest,
  parseRotationResponse,
  type RotationRequest,
  type RotationResponse,
} from './rotation-messages.ts';
import { routes } from './routes.ts';
import { parseStatusResponse, type StatusResponse } from './status-response.ts';
import {
  formatTpmChallengeRequest,
  parseTpmChallenge,
  type TpmChallenge,
  type TpmChallengeRequest,
} from './tpm-messages.ts';
import { type InclusionProof, parseLogProof } from './transparency/log-proof.ts';
import { formatTilePath, type TileName } from './transparency/tile-name.ts';
import {
  formatVaultTokenRequest,
  parseVaultTokenResponse,
  type VaultTokenRequest,
  type VaultTokenResponse,
} from './vault-token-messages.ts';

export type AuthorityClientOptions = AuthorityExchangeOptions;

/**
 * The authority's API, called. Every method throws a CountersignError: the authority's own code where it refused,
 * ERR_WIRE_UNREACHABLE or ERR_TIMEOUT where it did not answer, ERR_WIRE_* where it answered something else.
 */
export class AuthorityClient {
  readonly url: string;
  readonly #exchange: AuthorityExchange;

  constructor(options: AuthorityClientOptions) {
    this.url = options.url;
    this.#exchange = new AuthorityExchange(options);
  }

  /**
   * The bundle document's JSON text, for `parseBundleDocument` of `spiffe`. Over mTLS it says which bundle the caller
   * holds, `bundleDigest` of `spiffe`: the authority waits for that before it relies on a new root.
   */
  async bundle(options: CallOptions & { readonly holds?: string } = {}): Promise<string> {
    const { holds } = options;
    const query = holds === undefined ? '' : `?${new URLSearchParams({ holds })}`;
    const route = { ...routes.bundle, path: `${routes.bundle.path}${query}` };
    return utf8.decode(await this.#exchange.call(route, undefined, options));
  }

  /** The trust anchors in PEM. */
  async bundlePem(options: CallOptions = {}): Promise<string> {
    return utf8.decode(await this.#exchange.call(routes.bundlePem, undefined, options));
  }

  enrol(request: AnyEnrolRequest, options: CallOptions = {}): Promise<IssueResponse> {
    return this.#exchange.message(
      routes.enrol,
      formatEnrolRequest(request),
      parseIssueResponse,
      options,
    );
  }

  /** For whoever is about to enrol with its TPM. */
  tpmChallenge(request: TpmChallengeRequest, options: CallOptions = {}): Promise<TpmChallenge> {
    const body = formatTpmChallengeRequest(request);
    return this.#exchange.message(routes.tpmChallenge, body, parseTpmChallenge, options);
  }

  renew(request: RenewRequest, options: CallOptions = {}): Promise<IssueResponse> {
    return this.#exchange.message(
      routes.renew,
      formatRenewRequest(request),
      parseIssueResponse,
      options,
    );
  }

  /** Many certificates in one call, each answered by itself; waits up to a minute longer than other calls. */
  issueBatch(request: BatchRequest, options: CallOptions = {}): Promise<BatchResponse> {
    const body = formatBatchRequest(request);
    return this.#exchange.message(routes.issueBatch, body, parseBatchResponse, options, 60_000);
  }

  /** Waits up to the request's `waitMs` longer than other calls. */
  revoke(request: RevokeRequest, options: CallOptions = {}): Promise<RevokeResponse> {
    const body = formatRevokeRequest(request);
    const more = request.waitMs ?? 60_000;
    return this.#exchange.message(routes.revoke, body, parseRevokeResponse, options, more);
  }

  /** By whoever holds the private key of what is revoked; nothing else is shown. */
  revokeByKey(request: KeyRevokeRequest, options: CallOptions = {}): Promise<RevokeResponse> {
    const body = formatKeyRevokeRequest(request);
    const more = request.waitMs ?? 60_000;
    return this.#exchange.message(routes.keyRevoke, body, parseRevokeResponse, options, more);
  }

  status(options: CallOptions = {}): Promise<StatusResponse> {
    return this.#exchange.message(routes.status, undefined, parseStatusResponse, options);
  }

  /** The newest checkpoint of the issuance log, a signed note. */
  async logCheckpoint(options: CallOptions = {}): Promise<string> {
    return utf8.decode(await this.#exchange.call(routes.logCheckpoint, undefined, options));
  }

  /** The key of the issuance log, `NAME+ID+BASE64`, for `parseNoteKey`: as good as the connection that it comes over. */
  async logKey(options: CallOptions = {}): Promise<string> {
    return utf8.decode(await this.#exchange.call(routes.logKey, undefined, options));
  }

  /** That a certificate is in the issuance log; the authority waits some seconds for the checkpoint. */
  async logProof(serial: string, options: CallOptions = {}): Promise<InclusionProof> {
    const path = `${routes.logProof.path}?${new URLSearchParams({ serial })}`;
    const bytes = await this.#exchange.call({ ...routes.logProof, path }, undefined, options);
    const what = 'logProof answer';
    const proof = parseLogProof(parseJsonBody(bytes, what, routes.logProof.maxAnswerBytes));
    if (proof.kind === 'inclusion') return proof;
    throw new CountersignError('ERR_LOG_FORM', `${what} is of kind "${proof.kind}"`);
  }

  /** Content of a tile or entry bundle of the issuance log; undefined where it has none of that name. */
  async logTile(name: TileName, options: CallOptions = {}): Promise<Uint8Array | undefined> {
    const path = routes.logTile.path.replace('tile/', formatTilePath(name));
    try {
      return await this.#exchange.call({ ...routes.logTile, path }, undefined, options);
    } catch (thrown) {
      if (thrown instanceof CountersignError && thrown.code === 'ERR_LOG_MISSING') return undefined;
      throw thrown;
    }
  }

  lease(request: LeaseRequest, options: CallOptions = {}): Promise<LeaseResponse> {
    return this.#exchange.message(
      routes.lease,
      formatLeaseRequest(request),
      parseLeaseResponse,
      options,
    );
  }

  /** One step of replacing a key of the hierarchy, on the admin socket alone; waits up to two minutes longer than others. */
  rotate(request: RotationRequest, options: CallOptions = {}): Promise<RotationResponse> {
    const body = formatRotationRequest(request);
    return this.#exchange.message(
      routes.adminRotation,
      body,
      parseRotationResponse,
      options,
      120_000,
    );
  }

  /** Has it publish a list that was signed elsewhere; on the admin socket alone. */
  importList(list: Uint8Array, options: CallOptions = {}): Promise<ImportListResponse> {
    const body = formatImportListRequest({ list });
    return this.#exchange.message(routes.adminList, body, parseImportListResponse, options);
  }

  /** On the admin socket alone. */
  createToken(request: TokenRequest, options: CallOptions = {}): Promise<TokenResponse> {
    const body = formatTokenRequest(request);
    return this.#exchange.message(routes.adminToken, body, parseTokenResponse, options);
  }

  /** A token of Vault's API, on the admin socket alone. */
  createVaultToken(
    request: VaultTokenRequest,
    options: CallOptions = {},
  ): Promise<VaultTokenResponse> {
    const body = formatVaultTokenRequest(request);
    const { adminVaultToken } = routes;
    return this.#exchange.message(adminVaultToken, body, parseVaultTokenResponse, options);
  }

  /** What {@link issue} would be answered, with every reason, on the admin socket alone; nothing is ordered. */
  explain(request: AdminIssueRequest, options: CallOptions = {}): Promise<IssueExplanation> {
    const body = formatAdminIssueRequest(request);
    return this.#exchange.message(routes.adminExplain, body, parseIssueExplanation, options);
  }

  /** On the admin socket alone. */
  issue(request: AdminIssueRequest, options: CallOptions = {}): Promise<IssueResponse> {
    const body = formatAdminIssueRequest(request);
    return this.#exchange.message(routes.adminIssue, body, parseIssueResponse, options);
  }

  /** On the admin socket alone: a page of the ledger, as `ledgerOverSocket` of `ca` reads it. */
  readLedger(request: LedgerReadRequest, options: CallOptions = {}): Promise<unknown> {
    const body = formatLedgerReadRequest(request);
    return this.#exchange.message(routes.adminLedger, body, (json) => json, options, 60_000);
  }

  /** What was issued for a key, by the SHA-256 of its SubjectPublicKeyInfo; on the admin socket alone. */
  async certificatesOf(
    key: string,
    options: CallOptions = {},
  ): Promise<readonly CertificateOfKey[]> {
    const { adminCertificates: route } = routes;
    const path = `${route.path}?${new URLSearchParams({ key })}`;
    const bytes = await this.#exchange.call({ ...route, path }, undefined, options);
    return parseCertificatesOfKey(
      parseJsonBody(bytes, 'certificates answer', route.maxAnswerBytes),
    );
  }

  /**
   * The feed's frames after revocation `after`, hello first, as they arrive; returns when the authority ends the
   * stream. The timeout covers the answer's head alone: watching for heartbeats is the reader's part.
   */
  async *feed(query: {
    readonly after: number;
    readonly instance: string;
    /** See `feedDialect`. Absent: 1, which every authority knows. */
    readonly reads?: number;
    readonly signal?: AbortSignal;
  }): AsyncGenerator<FeedFrame, void> {
    const parameters = new URLSearchParams({
      after: String(query.after),
      instance: query.instance,
      ...(query.reads !== undefined && { reads: String(query.reads) }),
    });
    const path = `${routes.feed.path}?${parameters}`;
    yield* this.#exchange.stream(routes.feed, path, query, readFeed);
  }

  /** A token for oneself, or for a workload that one may order for. */
  jwtSvid(order: JwtSvidOrder, options: CallOptions = {}): Promise<JwtSvidAnswer> {
    const body = formatJwtSvidOrder(order);
    return this.#exchange.message(routes.jwtSvid, body, parseJwtSvidAnswer, options);
  }

  /** The registration entries: all for admins and operators, its own for an agent. */
  async entries(options: CallOptions = {}): Promise<readonly RegisteredEntry[]> {
    return this.#exchange.message(routes.entries, undefined, parseEntryList, options);
  }

  createEntry(draft: EntryDraft, options: CallOptions = {}): Promise<RegisteredEntry> {
    const body = formatEntryDraft(draft);
    return this.#exchange.message(routes.createEntry, body, parseRegisteredEntry, options);
  }

  /** The entry that is no more. */
  deleteEntry(id: string, options: CallOptions = {}): Promise<RegisteredEntry> {
    const body = formatEntryDeletion(id);
    return this.#exchange.message(routes.deleteEntry, body, parseRegisteredEntry, options);
  }

  /** What an agent has to know, and every change of it; returns when the authority ends the stream. */
  async *watchAgent(options: CallOptions = {}): AsyncGenerator<AgentFrame, void> {
    const { agentWatch: route } = routes;
    yield* this.#exchange.stream(route, route.path, options, readAgentFrames);
  }
}

const utf8 = new TextDecoder();
