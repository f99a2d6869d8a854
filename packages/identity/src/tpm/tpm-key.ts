import { hash } from 'node:crypto';
import { CountersignError, type Secret } from '@countersign/base';
import {
  defaultAlgorithmOf,
  keyKindOf,
  type Signer,
  type TpmAttribute,
  type TpmCommands,
  type TpmPublic,
  tpmHashes,
  verifySignatureOfKey,
} from '@countersign/x509';

export interface TpmKeyOptions {
  readonly commands: TpmCommands;
  /** Persistent, such as 0x81000001. */
  readonly handle: number;
  /** Of the key; none unless given. Asked at each signature. */
  readonly password?: (() => Promise<Secret<string>>) | undefined;
}

const wanted: readonly TpmAttribute[] = [
  'fixedTpm',
  'fixedParent',
  'sensitiveDataOrigin',
  'userWithAuth',
  'sign',
];

/**
 * The signer of a persistent key that was made in the TPM and never leaves it.
 *
 * @throws CountersignError ERR_IDENTITY_PROOF_KEY, ERR_TPM_*
 */
export async function openTpmKey({ commands, handle, password }: TpmKeyOptions): Promise<Signer> {
  const found = await commands.readPublic(handle);
  const title = `TPM key 0x${handle.toString(16)}`;
  const wrong = wrongWith(found);
  const kind = keyKindOf(found.spki);
  if (wrong !== undefined || kind === undefined) {
    throw new CountersignError(
      'ERR_IDENTITY_PROOF_KEY',
      `${title} ${wrong ?? 'is not understood'}`,
    );
  }
  const { spki } = found;
  const algorithm = defaultAlgorithmOf(kind);
  const name = algorithm.hash ?? 'sha256';
  const by = {
    scheme: kind.type === 'EC' ? 'ecdsa' : 'rsassa',
    hash: tpmHashes.find((each) => each.name === name)?.id ?? 0,
  } as const;
  return {
    spki,
    algorithm,
    async sign(data) {
      const secret = new TextEncoder().encode((await password?.())?.reveal() ?? '');
      const { bytes } = await commands.sign(handle, hash(name, data, 'buffer'), by, secret);
      if (verifySignatureOfKey(spki, data, bytes)) return bytes;
      throw new CountersignError('ERR_TPM_FORM', `${title} gave a signature that does not verify`);
    },
  };
}

function wrongWith({ attributes }: TpmPublic): string | undefined {
  const missing = wanted.filter((each) => !attributes.has(each));
  if (missing.length > 0)
    return `lacks "${missing.join('", "')}": it is not bound to its TPM, or does not sign`;
  return attributes.has('restricted')
    ? 'is restricted: it signs what its TPM states alone'
    : undefined;
}
