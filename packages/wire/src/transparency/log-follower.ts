import {
  CountersignError,
  equalBytes,
  errorOfDenial,
  fromBase64,
  toBase64,
  toHex,
} from '@countersign/base';
import { readMessage } from '../read-message.ts';
import { openCheckpoint } from './checkpoint.ts';
import { type LogSource, readTile } from './log-source.ts';
import { hashBytes, leafHash } from './merkle-tree.ts';
import { formatNoteKey, type NoteKey, parseNoteKey } from './signed-note.ts';
import { tileWidth } from './tile-name.ts';
import { TreeFrontier } from './tree-frontier.ts';

export interface LogEntry {
  readonly index: number;
  /** The certificate's DER, if the log is what it should be. */
  readonly entry: Uint8Array;
}

/**
 * Reads a log once from where it stands to its newest checkpoint, again and again, and believes nothing of it: what it
 * has read must lead to the root that the log signed, so that no entry can be changed, left out or shown to others alone
 * without a signature that proves it.
 */
export class LogFollower {
  readonly key: NoteKey;
  #tree: TreeFrontier;
  #note: string | undefined;
  #behind = 0;

  /** From the first entry on, or from where {@link LogFollower.state} of an earlier one stood. */
  constructor(
    key: NoteKey,
    from?: { readonly tree: TreeFrontier; readonly note: string | undefined },
  ) {
    this.key = key;
    this.#tree = from?.tree ?? new TreeFrontier();
    this.#note = from?.note;
  }

  /** Entries that have been read and proved to be in the log. */
  get size(): number {
    return this.#tree.size;
  }

  /** The checkpoint up to which it has read. */
  get note(): string | undefined {
    return this.#note;
  }

  /** How many entries fewer the log showed than before, the last time; a replica may lag, a log may not. */
  get behind(): number {
    return this.#behind;
  }

  /**
   * The entries up to the newest checkpoint. They are proved together once the last was given: only when the iteration
   * ends by itself does the follower stand behind them; left early, it stands where it did.
   *
   * @throws CountersignError ERR_LOG_CHECKPOINT, ERR_LOG_INCONSISTENT, ERR_LOG_MISSING, ERR_LOG_FORM, and the source's own
   */
  async *advance(source: LogSource): AsyncGenerator<LogEntry, void> {
    const note = await source.checkpoint();
    const head = openCheckpoint(note, this.key);
    if (!head.ok) throw errorOfDenial(head);
    const tree = this.#tree.copy();
    this.#behind = Math.max(0, tree.size - head.size);
    if (this.#behind > 0) return;
    while (tree.size < head.size) {
      const bundle = { level: 'entries', index: Math.floor(tree.size / tileWidth) } as const;
      const entries = await readTile(source, bundle, head.size);
      for (const entry of entries.slice(tree.size % tileWidth)) {
        yield { index: tree.size, entry };
        tree.append(leafHash(entry));
      }
    }
    if (!equalBytes(tree.root, head.root)) throw this.#inconsistent(head, tree, note);
    this.#tree = tree;
    this.#note = note;
  }

  #inconsistent(
    head: { readonly size: number; readonly root: Uint8Array },
    tree: TreeFrontier,
    note: string,
  ): CountersignError {
    const sides = `commits to root "${toHex(head.root)}", what was read leads to "${toHex(tree.root)}"`;
    const attempted = `follow log "${this.key.name}" from ${this.#tree.size} entries`;
    return new CountersignError(
      'ERR_LOG_INCONSISTENT',
      `${attempted}: its checkpoint of ${head.size} ${sides}`,
      { fields: { checkpoint: note, earlier: this.#note } },
    );
  }

  /** To go on from later, as JSON text. */
  state(): string {
    const { size, hashes } = this.#tree;
    const state = {
      key: formatNoteKey(this.key),
      size,
      hashes: hashes.map(toBase64),
      ...(this.#note === undefined ? {} : { checkpoint: this.#note }),
    };
    return `${JSON.stringify(state, undefined, 2)}\n`;
  }

  /** @throws CountersignError ERR_LOG_FORM, ERR_LOG_KEY, ERR_LOG_CHECKPOINT */
  static restore(json: unknown): LogFollower {
    const { key, size, hashes, note } = readMessage(
      'state of a log follower',
      json,
      (m) => ({
        key: parseNoteKey(m.text('key', { max: 1024 })),
        size: m.integer('size', { min: 0 }),
        hashes: m.list('hashes', { maxItems: 64 }, (item, at) => {
          const hash = typeof item === 'string' ? fromBase64(item) : undefined;
          if (hash?.byteLength === hashBytes) return hash;
          throw m.fail(at, `is not ${hashBytes} bytes in base64`);
        }),
        note: m.optional('checkpoint', (name) => m.text(name, { max: 64 * 1024 })),
      }),
      { code: 'ERR_LOG_FORM' },
    );
    const head = note === undefined ? undefined : openCheckpoint(note, key);
    if (head !== undefined && !head.ok) throw errorOfDenial(head, 'restore a log follower');
    const tree = treeOf(size, hashes);
    if (head !== undefined && (head.size !== size || !equalBytes(head.root, tree.root))) {
      throw malformed(`its checkpoint of ${head.size} is not that of its ${size} entries`);
    }
    return new LogFollower(key, { tree, note });
  }
}

function treeOf(size: number, hashes: readonly Uint8Array[]): TreeFrontier {
  try {
    return new TreeFrontier(size, hashes);
  } catch {
    throw malformed(`${hashes.length} hashes are no tree of ${size} entries`);
  }
}

function malformed(wrong: string): CountersignError {
  return new CountersignError('ERR_LOG_FORM', `restore a log follower: ${wrong}`);
}
