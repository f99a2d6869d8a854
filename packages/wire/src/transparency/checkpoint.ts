import { type Denial, denial, fromBase64, toBase64 } from '@countersign/base';
import { hashBytes } from './merkle-tree.ts';
import { type NoteKey, openNote, signNote } from './signed-note.ts';
import type { TreeHead } from './verify-proof.ts';

/** A tree head that the log has put its name to (C2SP tlog-checkpoint), as {@link openCheckpoint} proved it. */
export interface Checkpoint extends TreeHead {
  readonly origin: string;
  /** The signed note as it came. */
  readonly note: string;
}

export function signCheckpoint(
  { size, root }: TreeHead,
  key: NoteKey,
  sign: (data: Uint8Array) => Uint8Array | Promise<Uint8Array>,
): Promise<string> {
  return signNote(`${key.name}\n${size}\n${toBase64(root)}\n`, key, sign);
}

/** The tree head of a note that the log's key signed. Denials: ERR_LOG_CHECKPOINT. */
export function openCheckpoint(
  note: string,
  key: NoteKey,
): ({ readonly ok: true } & Checkpoint) | Denial {
  const opened = openNote(note, key);
  if (!opened.ok) return opened;
  const [origin, size = '', base64 = '', ...rest] = opened.text.split('\n');
  // The text ends with a line break; extension lines before it are nobody's here, and may not be empty.
  if (rest.at(-1) !== '' || rest.slice(0, -1).includes('')) return refused('it has an empty line');
  if (origin !== key.name) {
    return refused(`its origin is "${origin?.slice(0, 80)}", the log is "${key.name}"`);
  }
  if (!/^(?:0|[1-9]\d{0,14})$/.test(size)) return refused(`"${size.slice(0, 80)}" is no size`);
  const root = fromBase64(base64);
  if (root?.byteLength !== hashBytes) return refused('its root hash is not 32 bytes in base64');
  return { ok: true, origin, size: Number(size), root, note };
}

function refused(wrong: string): Denial {
  return denial('ERR_LOG_CHECKPOINT', `checkpoint is refused: ${wrong}`);
}
