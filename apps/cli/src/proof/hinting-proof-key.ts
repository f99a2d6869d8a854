import { CountersignError, codeTable, type ErrorCode } from '@countersign/base';
import type { ProofKey } from '@countersign/identity';
import type { OpenedProofKey } from './proof-key-option.ts';

/**
 * The key with hints for whoever gave the option: tokens are opened by what opens those of an authority, whose hints are about
 * its ca.yaml and its keys.
 */
export async function hintingProofKey(open: Promise<OpenedProofKey>): Promise<OpenedProofKey> {
  const opened = await open.catch((thrown: unknown) => Promise.reject(hinted(thrown)));
  if (opened.proofKey === undefined) return opened;
  const { proofKey: signer } = opened.proofKey;
  const { spki, algorithm } = signer;
  const proofKey: ProofKey = {
    ...{ spki, algorithm },
    async sign(data) {
      try {
        return await signer.sign(data);
      } catch (thrown) {
        throw hinted(thrown);
      }
    },
  };
  return { ...opened, proofKey: { proofKey } };
}

function hinted(thrown: unknown): unknown {
  if (!(thrown instanceof CountersignError)) return thrown;
  const { code, message, fields } = thrown;
  const hint = hints[code];
  const isMeant = thrown.hint !== codeTable[code].hint && !thrown.hint.includes('ca.yaml');
  if (hint === undefined || isMeant) return thrown;
  return new CountersignError(code, `--proof-key: ${message}`, { hint, fields, cause: thrown });
}

const hints: Readonly<Partial<Record<ErrorCode, string>>> = {
  ERR_SIGNER_SECRET:
    'check that what "pin-source" of --proof-key names is there, for whom this runs as, and holds the PIN alone',
  ERR_SIGNER_KEY_KIND: 'give --proof-key a key of ECDSA, RSA or Ed25519',
  ERR_SIGNER_KEY:
    'check "object" and "id" of --proof-key, and that the token made the key, sensitive and never extractable; see docs/keys.md',
  ERR_SIGNER_MODULE:
    'check "module-path" of --proof-key, that it is built for this machine, and that "npm install koffi" was done',
  ERR_SIGNER_TOKEN_MISSING:
    'check "token" and "serial" of --proof-key, and that the token is plugged in or initialised for this user',
  ERR_SIGNER_TOKEN_PIN:
    'put the right PIN where "pin-source" of --proof-key points; a locked token is opened by its security officer',
  ERR_SIGNER_TOKEN_LOST:
    'plug it in again or restore its connection: the next renewal logs in by itself',
  ERR_SIGNER_TOKEN_TIMEOUT:
    'look at the load and connection of the token; the next renewal asks it again',
  ERR_TPM_COMMAND:
    "the message has the TPM's own code: check that the handle of --proof-key is there, and its PIN; see docs/keys.md",
};
