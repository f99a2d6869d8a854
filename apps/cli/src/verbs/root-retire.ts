import { rotationVerb } from '../rotation/rotation-verb.ts';
import type { Verb } from '../verb.ts';

/** `countersign root retire`. */
export const rootRetireVerb: Verb = rotationVerb('retire', {
  force: 'although certificates in use lead to the old key',
  help: `
The old root leaves the trust bundle. Refused while any certificate in use leads to it, naming them and until when. Its
revocation lists go on until what it signed has ended.

Example:
  countersign root retire --data state`,
});
