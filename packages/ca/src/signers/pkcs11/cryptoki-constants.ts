/** Numbers of PKCS #11 (OASIS, version 3.0; the same since 2.20 where both have them). */

export const ckf = {
  osLockingOk: 0x2n,
  rwSession: 0x2n,
  serialSession: 0x4n,
  // of CK_TOKEN_INFO
  userPinFinalTry: 0x20000n,
  userPinLocked: 0x40000n,
  tokenInitialized: 0x400n,
  // of CK_MECHANISM_INFO
  sign: 0x800n,
  generateKeyPair: 0x10000n,
} as const;

export const cku = { user: 1n } as const;

export const cko = { publicKey: 2n, privateKey: 3n } as const;

export const ckk = { rsa: 0n, ec: 3n, ecEdwards: 0x40n } as const;

export const cka = {
  class: 0x0n,
  token: 0x1n,
  private: 0x2n,
  label: 0x3n,
  keyType: 0x100n,
  id: 0x102n,
  sensitive: 0x103n,
  decrypt: 0x105n,
  unwrap: 0x107n,
  sign: 0x108n,
  verify: 0x10an,
  modulus: 0x120n,
  modulusBits: 0x121n,
  publicExponent: 0x122n,
  privateExponent: 0x123n,
  value: 0x11n,
  extractable: 0x162n,
  local: 0x163n,
  neverExtractable: 0x164n,
  alwaysSensitive: 0x165n,
  ecParams: 0x180n,
  ecPoint: 0x181n,
  alwaysAuthenticate: 0x202n,
} as const;

export const ckm = {
  rsaPkcsKeyPairGen: 0x0n,
  rsaPkcs: 0x1n,
  rsaPkcsPss: 0xdn,
  sha256RsaPkcs: 0x40n,
  sha384RsaPkcs: 0x41n,
  sha512RsaPkcs: 0x42n,
  sha256: 0x250n,
  sha384: 0x260n,
  sha512: 0x270n,
  ecKeyPairGen: 0x1040n,
  ecdsa: 0x1041n,
  ecdsaSha256: 0x1044n,
  ecdsaSha384: 0x1045n,
  ecdsaSha512: 0x1046n,
  ecEdwardsKeyPairGen: 0x1055n,
  eddsa: 0x1057n,
} as const;

/** Mask generation functions of CK_RSA_PKCS_PSS_PARAMS. */
export const ckg = { mgf1Sha256: 2n, mgf1Sha384: 3n, mgf1Sha512: 4n } as const;

/** The length that C_GetAttributeValue gives for what it does not tell. */
export const unavailable = 0xffff_ffff_ffff_ffffn;

/**
 * What a return value means for us: `lost` ones end with the connection to the token, and a new one may help; `pin`
 * ones are about the PIN; `request` ones would come again with any connection.
 */
export type ReturnGroup = 'ok' | 'lost' | 'pin' | 'request' | 'failed';

const returnValues: ReadonlyMap<number, readonly [name: string, group: ReturnGroup]> = new Map([
  [0x0, ['CKR_OK', 'ok']],
  [0x2, ['CKR_HOST_MEMORY', 'failed']],
  [0x3, ['CKR_SLOT_ID_INVALID', 'lost']],
  [0x5, ['CKR_GENERAL_ERROR', 'failed']],
  [0x6, ['CKR_FUNCTION_FAILED', 'failed']],
  [0x7, ['CKR_ARGUMENTS_BAD', 'request']],
  [0x8, ['CKR_NO_EVENT', 'request']],
  [0x9, ['CKR_NEED_TO_CREATE_THREADS', 'request']],
  [0xa, ['CKR_CANT_LOCK', 'request']],
  [0x10, ['CKR_ATTRIBUTE_READ_ONLY', 'request']],
  [0x11, ['CKR_ATTRIBUTE_SENSITIVE', 'request']],
  [0x12, ['CKR_ATTRIBUTE_TYPE_INVALID', 'request']],
  [0x13, ['CKR_ATTRIBUTE_VALUE_INVALID', 'request']],
  [0x20, ['CKR_DATA_INVALID', 'request']],
  [0x21, ['CKR_DATA_LEN_RANGE', 'request']],
  [0x30, ['CKR_DEVICE_ERROR', 'lost']],
  [0x31, ['CKR_DEVICE_MEMORY', 'failed']],
  [0x32, ['CKR_DEVICE_REMOVED', 'lost']],
  [0x50, ['CKR_FUNCTION_CANCELED', 'failed']],
  [0x54, ['CKR_FUNCTION_NOT_SUPPORTED', 'request']],
  [0x60, ['CKR_KEY_HANDLE_INVALID', 'lost']],
  [0x62, ['CKR_KEY_SIZE_RANGE', 'request']],
  [0x63, ['CKR_KEY_TYPE_INCONSISTENT', 'request']],
  [0x68, ['CKR_KEY_FUNCTION_NOT_PERMITTED', 'request']],
  [0x70, ['CKR_MECHANISM_INVALID', 'request']],
  [0x71, ['CKR_MECHANISM_PARAM_INVALID', 'request']],
  [0x82, ['CKR_OBJECT_HANDLE_INVALID', 'lost']],
  [0x90, ['CKR_OPERATION_ACTIVE', 'lost']],
  [0x91, ['CKR_OPERATION_NOT_INITIALIZED', 'lost']],
  [0xa0, ['CKR_PIN_INCORRECT', 'pin']],
  [0xa1, ['CKR_PIN_INVALID', 'pin']],
  [0xa2, ['CKR_PIN_LEN_RANGE', 'pin']],
  [0xa3, ['CKR_PIN_EXPIRED', 'pin']],
  [0xa4, ['CKR_PIN_LOCKED', 'pin']],
  [0xb0, ['CKR_SESSION_CLOSED', 'lost']],
  [0xb1, ['CKR_SESSION_COUNT', 'failed']],
  [0xb3, ['CKR_SESSION_HANDLE_INVALID', 'lost']],
  [0xb5, ['CKR_SESSION_READ_ONLY', 'request']],
  [0xd0, ['CKR_TEMPLATE_INCOMPLETE', 'request']],
  [0xd1, ['CKR_TEMPLATE_INCONSISTENT', 'request']],
  [0xe0, ['CKR_TOKEN_NOT_PRESENT', 'lost']],
  [0xe1, ['CKR_TOKEN_NOT_RECOGNIZED', 'lost']],
  [0xe2, ['CKR_TOKEN_WRITE_PROTECTED', 'request']],
  [0x100, ['CKR_USER_ALREADY_LOGGED_IN', 'ok']],
  [0x101, ['CKR_USER_NOT_LOGGED_IN', 'lost']],
  [0x102, ['CKR_USER_PIN_NOT_INITIALIZED', 'pin']],
  [0x104, ['CKR_USER_ANOTHER_ALREADY_LOGGED_IN', 'failed']],
  [0x105, ['CKR_USER_TOO_MANY_TYPES', 'failed']],
  [0x150, ['CKR_BUFFER_TOO_SMALL', 'request']],
  [0x190, ['CKR_CRYPTOKI_NOT_INITIALIZED', 'lost']],
  [0x191, ['CKR_CRYPTOKI_ALREADY_INITIALIZED', 'ok']],
]);

export function returnNameOf(value: number): string {
  return returnValues.get(value)?.[0] ?? `CKR_0x${value.toString(16).toUpperCase()}`;
}

export function returnGroupOf(value: number): ReturnGroup {
  return returnValues.get(value)?.[1] ?? 'failed';
}
