export { AddressGuard, isNetwork } from './address-guard.ts';
export { AuthorityClient, type AuthorityClientOptions } from './authority-client.ts';
export type {
  Transport,
  TransportRequest,
  TransportResponse,
} from './authority-exchange.ts';
export {
  type BatchIssued,
  type BatchOrder,
  type BatchRefused,
  type BatchRequest,
  type BatchResponse,
  batchLimits,
  formatBatchRequest,
  formatBatchResponse,
  parseBatchRequest,
  parseBatchResponse,
} from './batch-messages.ts';
export {
  type CertificateOfKey,
  formatCertificatesOfKey,
  parseCertificatesOfKey,
} from './certificates-of-key.ts';
export {
  type ClientCertHeaders,
  clientCertHeaders,
  clientCertLimits,
  formatClientCert,
  formatClientCertChain,
  parseClientCert,
  parseClientCertChain,
} from './client-cert-headers.ts';
export {
  type AgentFrame,
  type EntryDraft,
  entryLimits,
  formatAgentFrame,
  formatEntryDeletion,
  formatEntryDraft,
  formatEntryList,
  formatRegisteredEntry,
  newEntryId,
  parseEntryDeletion,
  parseEntryDraft,
  parseEntryList,
  parseRegisteredEntry,
  type RegisteredEntry,
} from './entry-messages.ts';
export {
  type ExplainedClause,
  type ExplainedRefusal,
  formatIssueExplanation,
  type IssueExplanation,
  parseIssueExplanation,
} from './explain-messages.ts';
export {
  type CoveredFrame,
  type FeedFrame,
  feedDialect,
  formatFeedFrame,
  type HeartbeatFrame,
  type HelloFrame,
  maxFrameBytes,
  mostRuns,
  parseFeedFrame,
  parseFeedLine,
  type QuestionFrame,
  type RevocationFrame,
} from './feed-frame.ts';
export { LineSplitter, readFeed } from './feed-reader.ts';
export {
  type ForwardedClientCert,
  formatXfcc,
  nameForHeader,
  parseXfcc,
  subjectForHeader,
  xfccHeader,
  xfccLimits,
} from './forwarded-client-cert.ts';
export {
  type HopClaims,
  type HopSigner,
  type HopVerdict,
  hopHeader,
  signHop,
  verifyHop,
} from './hop-signature.ts';
export { identityHeaders, isIdentityHeader } from './identity-headers.ts';
export {
  type AdminIssueRequest,
  type AnyEnrolRequest,
  type BearerEnrolRequest,
  type CertificateWishes,
  type EnrolRequest,
  formatAdminIssueRequest,
  formatEnrolRequest,
  formatIssueResponse,
  formatRenewRequest,
  formatTokenRequest,
  formatTokenResponse,
  type IssueResponse,
  isBearerEnrolRequest,
  isBearerToken,
  issueLimits,
  parseAdminIssueRequest,
  parseBearerEnrolRequest,
  parseEnrolRequest,
  parseIssueResponse,
  parseRenewRequest,
  parseTokenRequest,
  parseTokenResponse,
  type RenewRequest,
  serialRule,
  type TokenRequest,
  type TokenResponse,
} from './issue-messages.ts';
export {
  createJoinToken,
  type JoinToken,
  parseFingerprint,
  parseJoinToken,
  revealJoinToken,
  secretHashOf,
} from './join-token.ts';
export {
  formatJwtSvidAnswer,
  formatJwtSvidOrder,
  type JwtSvidAnswer,
  type JwtSvidOrder,
  jwtLimits,
  parseJwtSvidAnswer,
  parseJwtSvidOrder,
} from './jwt-messages.ts';
export { nonceOfKey } from './key-nonce.ts';
export { formatKeyProof, type KeyProof, keyProofText } from './key-proof.ts';
export {
  type FinalReason,
  finalReasons,
  formatKeyRevokeRequest,
  type KeyRevokeRequest,
  type KeyRevokeStatement,
  keyRevokeText,
  parseKeyRevokeRequest,
} from './key-revoke-messages.ts';
export {
  type CutCounts,
  formatLeaseRequest,
  formatLeaseResponse,
  instanceRule,
  type LeaseRequest,
  type LeaseResponse,
  parseLeaseRequest,
  parseLeaseResponse,
  type QuestionAnswer,
} from './lease-messages.ts';
export {
  formatLedgerReadRequest,
  type LedgerReadRequest,
  parseLedgerReadRequest,
} from './ledger-messages.ts';
export {
  formatImportListRequest,
  formatImportListResponse,
  type ImportListRequest,
  type ImportListResponse,
  parseImportListRequest,
  parseImportListResponse,
} from './list-messages.ts';
export {
  type Audience,
  errorOfProblem,
  formatProblem,
  isAboutRequest,
  type Problem,
  type ProblemCause,
  parseProblem,
  problemCauseOf,
  problemContentType,
  problemFrom,
  type ReceivedProblem,
  statusOfCode,
} from './problem.ts';
export { protoFiles } from './proto-files.ts';
export { parseJsonBody, readMessage } from './read-message.ts';
export { retryAfterOf, retryAfterOfError } from './retry-after.ts';
export {
  formatIssuerValue,
  type NamedIssuer,
  parseIssuerValue,
  type RevocationBy,
  type RevocationForm,
  revocationBys,
  revocationForms,
  toldBySerial,
  toldInPart,
} from './revocation-kinds.ts';
export {
  formatRevocationWindow,
  parseRevocationWindow,
  type RevocationWindow,
  type WindowedBy,
  windowedBys,
} from './revocation-window.ts';
export {
  formatRevokeRequest,
  formatRevokeResponse,
  type GatewayAcknowledgement,
  parseRevokeRequest,
  parseRevokeResponse,
  type RevokeRequest,
  type RevokeResponse,
  reasonWords,
} from './revoke-messages.ts';
export {
  formatRotationRequest,
  formatRotationResponse,
  mostHoldersNamed,
  parseRotationRequest,
  parseRotationResponse,
  type RotationCarriedRequest,
  type RotationGeneration,
  type RotationHolder,
  type RotationRequest,
  type RotationResponse,
  type RotationStep,
  type RotationTaken,
  rotationSteps,
} from './rotation-messages.ts';
export { findRoute, type Route, type RouteAuth, type RouteName, routes } from './routes.ts';
export type {
  CertificateState,
  ListStateOfAuthority,
  LogState,
  RetentionOfLedger,
  SignerState,
  StatusFinding,
} from './status-parts.ts';
export {
  formatStatusResponse,
  type GatewayStatus,
  type IntermediateStatus,
  parseStatusResponse,
  type StatusResponse,
} from './status-response.ts';
export {
  formatTpmChallenge,
  formatTpmChallengeRequest,
  formatTpmEvidence,
  parseTpmChallenge,
  parseTpmChallengeRequest,
  parseTpmEvidence,
  type TpmChallenge,
  type TpmChallengeRequest,
  type TpmEvidence,
  tpmQualifying,
} from './tpm-messages.ts';
export { type Checkpoint, openCheckpoint, signCheckpoint } from './transparency/checkpoint.ts';
export { type LogEntry, LogFollower } from './transparency/log-follower.ts';
export { logOfClient } from './transparency/log-of-client.ts';
export {
  type ConsistencyProof,
  formatLogProof,
  type InclusionProof,
  type LogProof,
  parseLogProof,
  verifyGrown,
  verifyLogged,
} from './transparency/log-proof.ts';
export { findLeaf, type LogSource, nodeReader, readTile } from './transparency/log-source.ts';
export {
  consistencyRanges,
  emptyRoot,
  foldNodes,
  inclusionRanges,
  leafHash,
  type NodeReader,
  nodeHash,
  nodesOfRange,
  proofHashes,
  rootHash,
} from './transparency/merkle-tree.ts';
export {
  formatNoteKey,
  type NoteKey,
  noteKeyOf,
  parseNoteKey,
} from './transparency/signed-note.ts';
export {
  formatEntryBundle,
  formatTile,
  maxEntryBytes,
  parseEntryBundle,
  parseTile,
} from './transparency/tile-content.ts';
export {
  foldComplete,
  formatTilePath,
  levelsOf,
  parseTilePath,
  type TileName,
  tileHeight,
  tilesAtLevel,
  tileWidth,
  widthOfTile,
} from './transparency/tile-name.ts';
export { TreeFrontier } from './transparency/tree-frontier.ts';
export { type LogVerdict, verifyLog } from './transparency/verify-log.ts';
export {
  type Proved,
  type TreeHead,
  verifyConsistency,
  verifyInclusion,
} from './transparency/verify-proof.ts';
export {
  formatVaultTokenResponse,
  longestVaultTokenMs,
  parseVaultTokenRequest,
  type VaultTokenRequest,
  type VaultTokenResponse,
} from './vault-token-messages.ts';
