import { rotationVerb } from '../rotation/rotation-verb.ts';
import type { Verb } from '../verb.ts';

/** `countersign root rollback`. */
export const rootRollbackVerb: Verb = rotationVerb('rollback', {
  drop: 'give up a new key that was active before, too',
  force: 'although certificates in use lead to the key that is given up',
  help: `
From active to prepared, where the old key signs again; a key that was only prepared is given up, with --drop one that was
active before as well. Not after retire.

Example:
  countersign root rollback --data state`,
});
