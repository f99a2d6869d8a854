import { agentCodes } from './codes/agent-codes.ts';
import { authzCodes } from './codes/authz-codes.ts';
import { baseCodes } from './codes/base-codes.ts';
import { caAcmeCodes } from './codes/ca-acme-codes.ts';
import { caAttestationCodes } from './codes/ca-attestation-codes.ts';
import { caCodes } from './codes/ca-codes.ts';
import { caEstCodes } from './codes/ca-est-codes.ts';
import { caPolicyCodes } from './codes/ca-policy-codes.ts';
import { caProvisionerCodes } from './codes/ca-provisioner-codes.ts';
import { caPublishCodes } from './codes/ca-publish-codes.ts';
import { caRotationCodes } from './codes/ca-rotation-codes.ts';
import { caSignerCodes } from './codes/ca-signer-codes.ts';
import { caSuperiorCodes } from './codes/ca-superior-codes.ts';
import { caVaultCodes } from './codes/ca-vault-codes.ts';
import { cliCodes } from './codes/cli-codes.ts';
import { configCodes } from './codes/config-codes.ts';
import { gatewayCodes } from './codes/gateway-codes.ts';
import { identityAdapterCodes } from './codes/identity-adapter-codes.ts';
import { identityCodes } from './codes/identity-codes.ts';
import { identityIssuerCodes } from './codes/identity-issuer-codes.ts';
import { jwtCodes } from './codes/jwt-codes.ts';
import { keepCodes } from './codes/keep-codes.ts';
import { logCodes } from './codes/log-codes.ts';
import { mtlsCodes } from './codes/mtls-codes.ts';
import { providerCodes } from './codes/provider-codes.ts';
import { revocationCodes } from './codes/revocation-codes.ts';
import { routerCodes } from './codes/router-codes.ts';
import { sidecarCodes } from './codes/sidecar-codes.ts';
import { spiffeCodes } from './codes/spiffe-codes.ts';
import { wireCodes } from './codes/wire-codes.ts';
import { x509Codes } from './codes/x509-codes.ts';

/**
 * Every code there is, by family. One file a family under `codes/`, so that each room owns its own rows.
 * docs/errors.md is generated from this table.
 */
export const codeFamilies = {
  base: baseCodes,
  config: configCodes,
  x509: x509Codes,
  spiffe: spiffeCodes,
  wire: wireCodes,
  mtls: mtlsCodes,
  authz: authzCodes,
  ca: caCodes,
  acme: caAcmeCodes,
  attestation: caAttestationCodes,
  est: caEstCodes,
  policy: caPolicyCodes,
  provisioners: caProvisionerCodes,
  publish: caPublishCodes,
  rotation: caRotationCodes,
  signers: caSignerCodes,
  superior: caSuperiorCodes,
  vault: caVaultCodes,
  revocation: revocationCodes,
  identity: identityCodes,
  adapters: identityAdapterCodes,
  issuers: identityIssuerCodes,
  jwt: jwtCodes,
  log: logCodes,
  gateway: gatewayCodes,
  sidecar: sidecarCodes,
  agent: agentCodes,
  provider: providerCodes,
  router: routerCodes,
  keep: keepCodes,
  cli: cliCodes,
} as const;

/** All rows in one record; the key is the code. */
export const codeTable = {
  ...baseCodes,
  ...configCodes,
  ...x509Codes,
  ...spiffeCodes,
  ...wireCodes,
  ...mtlsCodes,
  ...authzCodes,
  ...caCodes,
  ...caAcmeCodes,
  ...caAttestationCodes,
  ...caEstCodes,
  ...caPolicyCodes,
  ...caProvisionerCodes,
  ...caPublishCodes,
  ...caRotationCodes,
  ...caSignerCodes,
  ...caSuperiorCodes,
  ...caVaultCodes,
  ...revocationCodes,
  ...identityCodes,
  ...identityAdapterCodes,
  ...identityIssuerCodes,
  ...jwtCodes,
  ...logCodes,
  ...gatewayCodes,
  ...sidecarCodes,
  ...agentCodes,
  ...providerCodes,
  ...routerCodes,
  ...keepCodes,
  ...cliCodes,
} as const;

export type ErrorCode = keyof typeof codeTable;

/** Whether `text` is a code of the table; the border between untyped text and {@link ErrorCode}. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(codeTable, text);
}
