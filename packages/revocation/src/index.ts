export { FeedRecord, type OpenedRecord } from './feed-record.ts';
export {
  type FollowOptions,
  followRevocations,
  type RevocationFollower,
} from './follow-revocations.ts';
export {
  type JudgedCertificate,
  type JudgedPeer,
  RevokedSet,
  type RevokedStatus,
} from './revoked-set.ts';
