import { rotationVerb } from '../rotation/rotation-verb.ts';
import type { Verb } from '../verb.ts';

/** `countersign root show`. */
export const rootShowVerb: Verb = rotationVerb('show', {
  help: `
Who lacks the new root is named with when it was last heard of, and when its certificate ends.

Example:
  countersign root show --data state
  countersign root show --data state --intermediate services -o json`,
});
