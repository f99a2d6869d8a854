export { bundleDigest } from './bundle-digest.ts';
export { formatBundleDocument, parseBundleDocument } from './bundle-document.ts';
export { certificatesFrom } from './certificate-series.ts';
export { ChangeSignal, type Changes } from './changes.ts';
export type {
  IntermediateAnswer,
  IntermediateOrder,
  IntermediateSigner,
} from './intermediate-signer.ts';
export { keysOfJwks, keysOfPem, type VerifyingKey } from './jwt/jwks.ts';
export {
  fitsKey,
  type JwsAlgorithm,
  jwsAlgorithm,
  jwsAlgorithmOf,
  verifyJws,
} from './jwt/jws-algorithms.ts';
export {
  type JwtClaims,
  JwtSvid,
  type JwtVerification,
  readJwtSvid,
  type UnverifiedJwtSvid,
  verifyJwtSvid,
} from './jwt/jwt-svid.ts';
export { readJwt, type UnverifiedJwt } from './jwt/read-jwt.ts';
export { hasKeyFor, type JwtDemand, VerifiedJwt, verifyJwt } from './jwt/verify-jwt.ts';
export { authorityPath, isReserved, reservedPath } from './reserved-path.ts';
export { positionOfSerial, serialForPosition } from './serial-position.ts';
export {
  type BundleSource,
  neverRevoked,
  type PeerMeeting,
  type RevocationSource,
  type RevocationStatus,
  type SvidSource,
  staticBundles,
  staticSvid,
} from './sources.ts';
export { parseSpiffeId, parseTrustDomain, SpiffeId, spiffeIdOf } from './spiffe-id.ts';
export {
  makeBundle,
  type PublicJwk,
  parseBundle,
  sameAuthorities,
  type TrustBundle,
} from './trust-bundle.ts';
export {
  maxPeerChain,
  type PeerResult,
  type PeerVerification,
  VerifiedPeer,
  verifyPeer,
} from './verified-peer.ts';
export { makeSvid, parseSvid, X509Svid } from './x509-svid.ts';
