export { feedMethod } from './checking/feed-method.ts';
export { GuardedHttp, type GuardedHttpOptions } from './checking/guarded-http.ts';
export {
  type OpenedRevocation,
  type OpenRevocationOptions,
  openRevocation,
} from './checking/open-revocation.ts';
export {
  RevocationChecks,
  type RevocationChecksOptions,
  type RevocationReport,
} from './checking/revocation-checks.ts';
export {
  checkRevocationConfig,
  type RevocationConfig,
  revocationDefaults,
  revocationSchema,
} from './checking/revocation-config.ts';
export type { MethodName, RevocationMethod } from './checking/revocation-method.ts';
export { FeedRecord, type OpenedRecord } from './feed-record.ts';
export {
  type FollowOptions,
  followRevocations,
  type RevocationFollower,
} from './follow-revocations.ts';
export { type KeepStapleOptions, keepStaple, type StapleKeeper } from './ocsp/keep-staple.ts';
export {
  type JudgedCertificate,
  type JudgedPeer,
  RevokedSet,
  type RevokedStatus,
} from './revoked-set.ts';
