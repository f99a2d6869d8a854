export { BundleFile, type BundleFileOptions } from './bundle-file.ts';
export {
  type AuthorityFiles,
  type AuthorityPlace,
  CertificateAuthority,
  type ServiceOrder,
} from './certificate-authority.ts';
export { exportSvid, issueSubgraphSvid } from './export-svid.ts';
export type { ClientOptions, MtlsClient } from './mtls-client.ts';
export { MtlsProvider, type MtlsStatus, type ProviderSurroundings } from './mtls-provider.ts';
export {
  type MtlsProviderOptions,
  type ProviderSettings,
  readProviderOptions,
  serviceSpiffeId,
} from './provider-options.ts';
