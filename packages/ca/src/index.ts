export type {
  AcmeConfig,
  AcmeProfile,
  ExternalAccount,
} from './acme/acme-config.ts';
export {
  openTrialAuthority,
  type TrialAuthority,
  type TrialHierarchy,
} from './acme/trial/trial-authority.ts';
export {
  Authority,
  type IntermediateStatus,
} from './authority.ts';
export {
  type AuthorityOfPairOptions,
  authorityOfPair,
  selfSignedRoot,
} from './authority-of-pair.ts';
export {
  type ApiConfig,
  type AuthorityCertificateConfig,
  type CaConfig,
  type IntermediateConfig,
  parseCaConfig,
  type RootConfig,
  type ServiceConfig,
  type SubjectConfig,
} from './ca-config.ts';
export { type CeremonyRecord, formatCeremony } from './ceremony/ceremony-record.ts';
export { type CompleteInitOptions, completeInit } from './ceremony/complete-init.ts';
export {
  type InitialisedOffline,
  type InitOfflineOptions,
  initOffline,
} from './ceremony/init-offline.ts';
export {
  type MadeRootKey,
  type MakeRootKeyOptions,
  makeRootKey,
} from './ceremony/make-root-key.ts';
export {
  type SignedRequest,
  type SignRequestOptions,
  signRequest,
} from './ceremony/sign-request.ts';
export {
  formatRootList,
  type RootListRecord,
  signRootList,
} from './ceremony/sign-root-list.ts';
export type { WrittenNames } from './certificate-names.ts';
export { certificatesOfKey } from './certificates-of-key.ts';
export type { CreatedToken, TokenOrder } from './create-token.ts';
export type { CsrAndWishes } from './csr-and-wishes.ts';
export { type EphemeralOptions, ephemeralAuthority } from './ephemeral-authority.ts';
export { hashPassword } from './est/password-hash.ts';
export { type PolicyTrial, tryPolicy } from './explain/try-policy.ts';
export { type Initialised, type InitOptions, initAuthority } from './init-authority.ts';
export type { Issued, Refusal } from './issue.ts';
export { type Acknowledged, auditLedger, type LedgerAudit } from './ledger/audit-ledger.ts';
export type { AuditHead, AuditRow } from './ledger/audit-trail.ts';
export type { LedgerBackup } from './ledger/back-up-ledger.ts';
export {
  type BackUpOptions,
  backUpState,
  type Restored,
  type RestoreOptions,
  restoreState,
} from './ledger/back-up-state.ts';
export { covers } from './ledger/covers.ts';
export { exportAudit } from './ledger/export-audit.ts';
export type * from './ledger/ledger.ts';
export type { LedgerConfig, PostgresConfig } from './ledger/ledger-config.ts';
export { type LedgerPages, ledgerOverSocket } from './ledger/ledger-pages.ts';
export { type MemoryLedgerOptions, memoryLedger } from './ledger/memory-ledger.ts';
export { openStateLedger } from './ledger/open-state-ledger.ts';
export { openSqliteLedger, type SqliteLedgerOptions } from './ledger/sqlite-ledger.ts';
export { type AuditVerdict, type VerifyAuditOptions, verifyAudit } from './ledger/verify-audit.ts';
export { IssuanceLog, type IssuanceLogOptions } from './log/issuance-log.ts';
export { keyPath, type LogFiles, logDirectory, sourceOfFiles } from './log/log-files.ts';
export { signedLog } from './log/signed-log.ts';
export { type OpenOptions, openAuthority } from './open-authority.ts';
export { orderVaultToken } from './order-vault-token.ts';
export { isCallerAtDoor } from './policy/who.ts';
export { importIntoState } from './publish/import-into-state.ts';
export { publishedUrlOf } from './publish/published-url.ts';
export { makeLists } from './publish/start-publishing.ts';
export type { Caller, EdgeWait, RevokeAnswer, RevokeOrder } from './revoke.ts';
export type { KeyRotation } from './rotation/key-rotation.ts';
export { showStateRotation } from './rotation/show-state-rotation.ts';
export { takeRotationStep } from './rotation/take-rotation-step.ts';
export { adminClient } from './serve/admin-client.ts';
export {
  IssueQueue,
  type IssueQueueOptions,
  type QueuedOrder,
  type QueueLimits,
  type Seat,
} from './serve/issue-queue.ts';
export {
  type AuthorityServer,
  type ServeAuthorityOptions,
  serveAuthority,
} from './serve/serve-authority.ts';
export type { SecretPlaces } from './signers/secret-source.ts';
export { readStateCertificates } from './state-certificates.ts';
export { keyFileOf, readStateManifest, type StateLayout, stateLayout } from './state-layout.ts';
export { stateStatus } from './status/state-status.ts';
export { checkStepFiles } from './step/check-step-files.ts';
export { fileExchange } from './superior/file-exchange.ts';
export {
  type KeepSuperiorOptions,
  keepSuperior,
  type SuperiorKeeper,
} from './superior/keep-superior.ts';
