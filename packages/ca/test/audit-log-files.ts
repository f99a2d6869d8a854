import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint, parseNoteKey, verifyLog } from '@countersign/wire';
import { checkpointPath, keyPath, logDirectory, sourceOfFiles } from '../src/log/log-files.ts';

/**
 * What a killed authority left of its issuance log: the tiles of its last checkpoint, whole, and in them everything that
 * any earlier checkpoint committed to, whichever authority over the same ledger had signed it.
 */
export class LogFilesAuditor {
  /** By size: what was signed so far. */
  readonly #signed = new Map<number, Checkpoint>();

  async audit(data: string): Promise<void> {
    const directory = join(data, 'log');
    const files = logDirectory(directory);
    const [note, key] = [await files.read(checkpointPath), await files.read(keyPath)];
    if (note === undefined || key === undefined) return;
    const text = new TextDecoder();
    const head = openCheckpoint(text.decode(note), parseNoteKey(text.decode(key)));
    assert.ok(head.ok, head.ok ? '' : head.detail);
    const earlier = [...this.#signed.values()].filter(({ size }) => size <= head.size);
    const { findings } = await verifyLog(sourceOfFiles(files, directory), head, earlier);
    assert.deepEqual(findings, []);
    this.#signed.set(head.size, head);
  }
}
