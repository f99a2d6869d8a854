export { type HopClaims, type HopVerdict, hopHeader, verifyHop } from '@countersign/wire';
export { type HttpsAgentOptions, httpsAgent } from './adapt/https-agent.ts';
export { type HasPeer, peerOf } from './adapt/peer-of.ts';
export {
  type SecureServer,
  type SecureServerOptions,
  secureServer,
} from './adapt/secure-server.ts';
export {
  type AuthorityTransportOptions,
  authorityClient,
  authorityTransport,
} from './authority-transport.ts';
export { type AuthorityAddress, parseAuthorityUrl } from './authority-url.ts';
export {
  type Environment,
  fileToken,
  githubToken,
  googleToken,
  type TokenSource,
  variableToken,
} from './ci-tokens.ts';
export { type EnrolOptions, enrol } from './enrol.ts';
export { type EphemeralOptions, ephemeralIdentity } from './ephemeral-identity.ts';
export {
  type EnrolByEvidenceOptions,
  type EvidenceOptions,
  enrolByEvidence,
  reEnrolByEvidence,
} from './evidence/enrol-by-evidence.ts';
export type { EvidenceSource } from './evidence/evidence-source.ts';
export { expectAuthority } from './expect-authority.ts';
export type { FetchBundle } from './follow-bundle.ts';
export {
  type FollowedIdentity,
  type FollowIdentityOptions,
  followIdentity,
} from './follow-identity.ts';
export type { Identity } from './identity.ts';
export { identity } from './identity-entry.ts';
export {
  identityFiles,
  placeIdentityDirectory,
  prepareIdentityDirectory,
  readIdentity,
  writeIdentity,
  writeNamedCertificate,
} from './identity-files.ts';
export { type AcmeIssuerOptions, acmeIssuer } from './issuers/acme/acme-issuer.ts';
export type { AcmeProof } from './issuers/acme/acme-proof.ts';
export type { ExternalAccountKey } from './issuers/acme/acme-session.ts';
export type { AwsPcaSdk } from './issuers/aws-pca/aws-pca-client.ts';
export { type AwsPcaIssuerOptions, awsPcaIssuer } from './issuers/aws-pca/aws-pca-issuer.ts';
export { awsPcaSuperior } from './issuers/aws-pca/aws-pca-superior.ts';
export {
  type IdentityPemFiles,
  type OpenFilesOptions,
  openFiles,
} from './issuers/files/open-files.ts';
export {
  type FilesIdentityOptions,
  filesIdentity,
  type IssuedIdentityOptions,
  issuedIdentity,
  type WorkloadApiOptions,
  workloadApiIdentity,
} from './issuers/issued-identity.ts';
export type {
  CertificateNames,
  Issuer,
  IssuerAnswer,
  IssuerOrder,
  RenewalWish,
  RootsSource,
  SecretSource,
} from './issuers/issuer.ts';
export { rootsOfFile, secretOfFile } from './issuers/issuer-files.ts';
export { longerThanAsked } from './issuers/longer-than-asked.ts';
export {
  type OpenIssuedOptions,
  type OrderOptions,
  openIssued,
  orderNamed,
  renewAtIssuer,
  trustDomainOf,
} from './issuers/open-issued.ts';
export {
  type StepCaCredential,
  type StepCaIssuerOptions,
  stepCaIssuer,
} from './issuers/step-ca/step-ca-issuer.ts';
export { type VaultIssuerOptions, vaultIssuer } from './issuers/vault/vault-issuer.ts';
export type { VaultAuth } from './issuers/vault/vault-session.ts';
export { type VaultSuperiorOptions, vaultSuperior } from './issuers/vault/vault-superior.ts';
export { type CameBy, keepIssued } from './keep-issued.ts';
export { type LearnRootOptions, learnRoot } from './learn-root.ts';
export { type LiveIdentity, liveIdentity } from './live/live-identity.ts';
export type { LiveSource } from './live/live-source.ts';
export type { PeerRules } from './live/peer-rules.ts';
export { type LiveTlsOptions, liveTlsOptions, type TlsOptionsRules } from './live/tls-options.ts';
export { type OpenIdentityOptions, openIdentity } from './open-identity.ts';
export { defaultKeyKind, makeOwnRequest, type OwnRequest } from './own-request.ts';
export { type ProofKey, signProof } from './proof/sign-proof.ts';
export { type ProofOptions, proveIdentity, proveIssued } from './prove-issued.ts';
export { type NamedCertificate, proveNamedCertificate } from './prove-named-certificate.ts';
export { proveSameHolder } from './prove-same-holder.ts';
export { type RenewOnceOptions, renewOnce } from './renew-once.ts';
export { type Renew, type RenewalRequest, renewOverMtls } from './renewal.ts';
export { type BackoffRange, renewalTime, retryWaitMs, turnWaitMs } from './rotation-schedule.ts';
export {
  type RotatingIdentity,
  type RotationOptions,
  type RotationStats,
  startRotation,
} from './start-rotation.ts';
export { type OpenTpm, openTpm, usualTpm } from './tpm/open-tpm.ts';
export { type TpmEvidenceOptions, tpmEvidence } from './tpm/tpm-evidence.ts';
export { openTpmKey, type TpmKeyOptions } from './tpm/tpm-key.ts';
export {
  type FollowWorkloadApiOptions,
  followWorkloadApi,
  type WorkloadApiIdentity,
} from './workload-api/follow-workload-api.ts';
