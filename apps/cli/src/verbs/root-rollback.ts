import { rotationVerb } from '../rotation/rotation-verb.ts';
import type { Verb } from '../verb.ts';

/** `countersign root rollback`. */
export const rootRollbackVerb: Verb = rotationVerb('rollback', {
  force: 'although certificates in use lead to the key that is given up',
  help: `
One step back: from active to prepared, where the old key signs again; from prepared to what was before. Not after retire.

Example:
  countersign root rollback --data state`,
});
