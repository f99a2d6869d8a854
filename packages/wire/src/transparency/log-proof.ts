import { type Denial, denial, fromBase64, toBase64 } from '@countersign/base';
import { readMessage } from '../read-message.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { hashBytes, leafHash } from './merkle-tree.ts';
import type { NoteKey } from './signed-note.ts';
import { type Proved, verifyConsistency, verifyInclusion } from './verify-proof.ts';

/** That a certificate is in the log: what `--log-proof` writes beside it. */
export interface InclusionProof {
  readonly kind: 'inclusion';
  /** Of the leaf, from 0. */
  readonly index: number;
  /** The leaf's neighbour first. */
  readonly hashes: readonly Uint8Array[];
  /** The signed note that the proof leads to. */
  readonly checkpoint: string;
}

/** That a later checkpoint continues an earlier one. */
export interface ConsistencyProof {
  readonly kind: 'consistency';
  /** Both signed notes. */
  readonly from: string;
  readonly checkpoint: string;
  readonly hashes: readonly Uint8Array[];
}

export type LogProof = InclusionProof | ConsistencyProof;

const maxNote = 64 * 1024;
/** A tree of 2^53 leaves has proofs of 53 hashes, and consistency needs one more. */
const maxHashes = 64;

/** @throws CountersignError ERR_LOG_FORM */
export function parseLogProof(json: unknown): LogProof {
  return readMessage(
    'log proof',
    json,
    (m): LogProof => {
      const hashes = m.list('hashes', { maxItems: maxHashes }, (item, at) => {
        const hash = typeof item === 'string' ? fromBase64(item) : undefined;
        if (hash?.byteLength === hashBytes) return hash;
        throw m.fail(at, `is not ${hashBytes} bytes in base64`);
      });
      const checkpoint = m.text('checkpoint', { max: maxNote });
      const kind = m.oneOf('kind', ['inclusion', 'consistency']);
      return kind === 'inclusion'
        ? { kind, index: m.integer('index', { min: 0 }), hashes, checkpoint }
        : { kind, from: m.text('from', { max: maxNote }), checkpoint, hashes };
    },
    { code: 'ERR_LOG_FORM' },
  );
}

export function formatLogProof(proof: LogProof): string {
  return `${JSON.stringify({ ...proof, hashes: proof.hashes.map(toBase64) }, undefined, 2)}\n`;
}

/**
 * That the certificate is in the log that this key signs for: the checkpoint is the log's, and the proof leads from the
 * certificate to its root. Denials: ERR_LOG_CHECKPOINT, ERR_LOG_PROOF.
 *
 * @param certificate DER: what the log's leaf is made of
 */
export function verifyLogged(
  certificate: Uint8Array,
  proof: InclusionProof,
  key: NoteKey,
): { readonly ok: true; readonly checkpoint: Checkpoint } | Denial {
  const checkpoint = openCheckpoint(proof.checkpoint, key);
  if (!checkpoint.ok) return checkpoint;
  const leaf = { index: proof.index, hash: leafHash(certificate) };
  const proved = verifyInclusion(leaf, proof.hashes, checkpoint);
  return proved.ok ? { ok: true, checkpoint } : proved;
}

/** That the log grew from one checkpoint to the other. Denials: ERR_LOG_CHECKPOINT, ERR_LOG_PROOF, ERR_LOG_INCONSISTENT. */
export function verifyGrown(proof: ConsistencyProof, key: NoteKey): Proved {
  const from = openCheckpoint(proof.from, key);
  if (!from.ok) return denial(from.code, `first checkpoint: ${from.detail}`);
  const to = openCheckpoint(proof.checkpoint, key);
  return to.ok ? verifyConsistency(from, to, proof.hashes) : to;
}
