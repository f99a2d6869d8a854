import { rotationVerb } from '../rotation/rotation-verb.ts';
import type { Verb } from '../verb.ts';

/** `countersign root activate`. */
export const rootActivateVerb: Verb = rotationVerb('activate', {
  takesThreshold: true,
  force: 'although holders of the trust bundle lack the new root',
  help: `
Intermediates are signed anew by the new root, with the keys that they have, and everything issued from now on leads to
it. Refused while anybody who holds the trust bundle lacks the new root, naming them.

Example:
  countersign root activate --data state
  countersign root activate --data state --threshold 99`,
});
