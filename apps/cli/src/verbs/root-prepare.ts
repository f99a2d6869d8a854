import { rotationVerb } from '../rotation/rotation-verb.ts';
import type { Verb } from '../verb.ts';

/** `countersign root prepare`. */
export const rootPrepareVerb: Verb = rotationVerb('prepare', {
  takesCarried: true,
  help: `
A new key with its certificates. A new root is signed by the old one and goes into the trust bundle beside it; it signs
nothing yet. A repetition goes on where a crash stopped it.

Example:
  countersign root prepare --data state --by 'Alice Adams'
  countersign root prepare --data state --intermediate services

Under an offline root it writes requests for what that has to sign, and takes what was signed with --import, a file or a
directory each, until all of it is there. The key of the next root is made beside the one of now:
  countersign init --config ca.yaml --offline-root --root-out /media/vault/root-2 --request root-2.csr
  countersign root prepare --data state --import root-2.csr
  countersign root prepare --data state --import signed`,
});
