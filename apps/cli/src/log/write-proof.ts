import { join } from 'node:path';
import { errorOfDenial, writeFileDurably } from '@countersign/base';
import {
  formatLogProof,
  formatNoteKey,
  type InclusionProof,
  type NoteKey,
  verifyLogged,
} from '@countersign/wire';
import { Option } from 'commander';

export interface LoggedProof {
  readonly proof: InclusionProof;
  readonly key: NoteKey;
}

export interface ProofOptions {
  readonly logProof?: true;
}

/** `--log-proof` of commands that get a certificate. */
export function proofOption(): Option {
  return new Option(
    '--log-proof',
    'wait for the proof that it is in the issuance log: proof.json and log.pub beside it',
  );
}

/** Beside a certificate, once the proof is verified: the proof, and the key that it is verified with. */
export async function writeProof(
  directory: string,
  certificate: Uint8Array,
  { proof, key }: LoggedProof,
): Promise<void> {
  const proved = verifyLogged(certificate, proof, key);
  if (!proved.ok) throw errorOfDenial(proved, 'prove that the certificate is in the log');
  await writeFileDurably(join(directory, 'log.pub'), `${formatNoteKey(key)}\n`);
  await writeFileDurably(join(directory, 'proof.json'), formatLogProof(proof));
}
