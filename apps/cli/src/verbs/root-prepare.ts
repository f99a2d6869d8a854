import { rotationVerb } from '../rotation/rotation-verb.ts';
import type { Verb } from '../verb.ts';

/** `countersign root prepare`. */
export const rootPrepareVerb: Verb = rotationVerb('prepare', {
  help: `
A new key with its certificates. A new root is signed by the old one and goes into the trust bundle beside it; it signs
nothing yet. A repetition goes on where a crash stopped it.

Example:
  countersign root prepare --data state --by 'Alice Adams'
  countersign root prepare --data state --intermediate services`,
});
