import { CountersignError, type Log } from '@countersign/base';
import type { DocumentChange } from '../ledger/rotation-records.ts';
import type { KeyStores } from '../signers/key-stores.ts';
import type { CertifyContext } from './certify-generation.ts';
import type { GenerationKeys } from './hierarchy-in-force.ts';
import { generationsOf } from './hierarchy-view.ts';
import type { RotationDocument } from './rotation-document.ts';

/** What every step of a rotation works with. */
export interface RotationContext extends CertifyContext {
  readonly stores: KeyStores;
  readonly keys: GenerationKeys;
  readonly log: Log;
  /** As it is now. */
  readonly document: () => RotationDocument;
  /** The one commit of a step; in force in this process when it resolves. */
  readonly commit: (document: RotationDocument, said: DocumentChange['said']) => Promise<void>;
  /**
   * By when every process over the ledger has taken up what was committed: what was issued up to then may lead to what
   * was in force before.
   */
  readonly settleMs: number;
  /** For how long a process that has not heard of a key's end may go on to sign by it; 0 where there is one process. */
  readonly retireAfterMs: number;
}

/** @throws CountersignError ERR_ROTATION_NAME */
export function mustBeKnown(name: string, document: RotationDocument): void {
  if (generationsOf(document, name).length > 0) return;
  const known = [...new Set(document.generations.map((each) => each.name))];
  const message = `no authority is called "${name}", there are ${known.map((each) => `"${each}"`).join(', ')}`;
  throw new CountersignError('ERR_ROTATION_NAME', message, { fields: { name, known } });
}
