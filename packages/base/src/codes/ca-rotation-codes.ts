import type { CodeFamily } from '../code-row.ts';

/** Codes about a root or an intermediate whose key is being replaced. */
export const caRotationCodes = {
  ERR_LEDGER_DOCUMENT: {
    meaning:
      'Something that all processes over a ledger share was changed by another one meanwhile.',
    hint: 'look at it again, and repeat the command if it is still to be done',
    exit: 1,
  },
  ERR_ROTATION_STEP: {
    meaning: 'A step of replacing a key was asked for that does not follow from where it stands.',
    hint: 'run countersign root show, which says what comes next',
    exit: 1,
  },
  ERR_ROTATION_UPTAKE: {
    meaning:
      'The new root was not made the issuing one, since holders of the trust bundle lack it.',
    hint: 'run countersign root show, which names them; wait, renew each where it runs, revoke those that are gone, or lower --threshold',
    exit: 1,
  },
  ERR_ROTATION_LIVE: {
    meaning:
      'A key was not given up, since certificates that are in use lead to it, or join tokens pin it.',
    hint: 'run countersign root show, which names them and says until when; wait, renew or revoke them (revoke --token ID)',
    exit: 1,
  },
  ERR_ROTATION_OFFLINE: {
    meaning: 'A key that is offline was to sign here.',
    hint: 'make the next key beside it: countersign init --offline-root --root-out DIR --request FILE, then root prepare --import FILE',
    exit: 2,
  },
  ERR_ROTATION_BEHIND: {
    meaning:
      'This process cannot take up what replaced a key of the hierarchy, and issues nothing under what it has.',
    hint: 'look at countersign ca status of this process: the key file or token of the new key is missing there; others go on',
    exit: 3,
  },
  ERR_ROTATION_NO_ISSUER: {
    meaning:
      "Every intermediate that could sign the certificate is revoked; of the authority's own: so that it cannot serve.",
    hint: 'give one a new key: countersign root prepare --intermediate NAME, then root activate; both work while nothing serves',
    exit: 1,
  },
  ERR_ROTATION_PROOF: {
    meaning:
      'A root, intermediate or key of the ledger does not follow from the root that init made.',
    hint: 'nothing of it is taken up: find out who can write to the ledger, and restore it from a backup',
    exit: 2,
  },
  ERR_ROTATION_NAME: {
    meaning: 'No authority of the hierarchy has this name.',
    hint: 'give the name of an intermediate of ca.yaml, or none for the root',
    exit: 2,
  },
} as const satisfies CodeFamily;
