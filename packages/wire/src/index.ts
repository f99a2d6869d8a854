export {
  AuthorityClient,
  type AuthorityClientOptions,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from './authority-client.ts';
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
  type FeedFrame,
  formatFeedFrame,
  type HeartbeatFrame,
  type HelloFrame,
  maxFrameBytes,
  parseFeedFrame,
  parseFeedLine,
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
export { identityHeaders, isIdentityHeader } from './identity-headers.ts';
export {
  type AdminIssueRequest,
  type EnrolRequest,
  formatAdminIssueRequest,
  formatEnrolRequest,
  formatIssueResponse,
  formatRenewRequest,
  formatTokenRequest,
  formatTokenResponse,
  type IssueResponse,
  issueLimits,
  parseAdminIssueRequest,
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
  type CutCounts,
  formatLeaseRequest,
  formatLeaseResponse,
  instanceRule,
  type LeaseRequest,
  type LeaseResponse,
  parseLeaseRequest,
  parseLeaseResponse,
} from './lease-messages.ts';
export {
  type Audience,
  errorOfProblem,
  formatProblem,
  type Problem,
  type ProblemCause,
  parseProblem,
  problemCauseOf,
  problemContentType,
  problemFrom,
  type ReceivedProblem,
  statusOfCode,
} from './problem.ts';
export { parseJsonBody } from './read-message.ts';
export {
  formatRevokeRequest,
  formatRevokeResponse,
  type GatewayAcknowledgement,
  parseRevokeRequest,
  parseRevokeResponse,
  type RevocationBy,
  type RevokeRequest,
  type RevokeResponse,
  reasonWords,
  revocationBys,
} from './revoke-messages.ts';
export { findRoute, type Route, type RouteAuth, type RouteName, routes } from './routes.ts';
export {
  formatStatusResponse,
  type GatewayStatus,
  type IntermediateStatus,
  parseStatusResponse,
  type StatusResponse,
} from './status-response.ts';
