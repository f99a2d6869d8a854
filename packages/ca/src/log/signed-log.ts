import { errorOfDenial } from '@countersign/base';
import { type Checkpoint, openCheckpoint, parseNoteKey } from '@countersign/wire';
import { stateLayout } from '../state-layout.ts';
import { checkpointPath, keyPath, logDirectory } from './log-files.ts';

/**
 * What the issuance log of a data directory has signed last, by the key beside it; undefined before the first signature.
 *
 * @throws CountersignError ERR_LOG_*
 */
export async function signedLog(data: string): Promise<Checkpoint | undefined> {
  const files = logDirectory(stateLayout(data).log);
  const [note, key] = [await files.read(checkpointPath), await files.read(keyPath)];
  if (note === undefined || key === undefined) return undefined;
  const text = new TextDecoder();
  const opened = openCheckpoint(text.decode(note), parseNoteKey(text.decode(key)));
  if (opened.ok) return opened;
  throw errorOfDenial(opened, `read the issuance log of "${data}"`);
}
