import type { CodeFamily } from '../code-row.ts';

/** Certificates of other people's authorities. */
export const identityIssuerCodes = {
  ERR_ISSUER_CONFIG: {
    meaning: 'What is said of an issuer does not go together, or cannot be used.',
    hint: 'compare with the example of that issuer in docs/issuers.md',
    exit: 2,
  },
  ERR_ISSUER_SECRET: {
    meaning: 'A credential for an issuer is not where it is said to be, or is nothing of its kind.',
    hint: 'check the file or the variable that the message names; secrets are never written in a configuration',
    exit: 2,
  },
  ERR_ISSUER_REFUSED: {
    meaning: 'An issuer was asked for a certificate and refused.',
    hint: 'the message has its own words; its role, policy or provisioner must admit these names for this caller',
    exit: 1,
  },
  ERR_ISSUER_UNREACHABLE: {
    meaning:
      'An issuer could not be asked, or has no answer now. What there is stays in use while it holds.',
    hint: 'check its address and what it says of itself; it is asked again',
    exit: 3,
  },
  ERR_ISSUER_ANSWER: {
    meaning: 'An issuer answered something else than was asked for; it was not put to use.',
    hint: 'compare both sides in the message; the certificate before it, if any, stays in use',
    exit: 1,
  },
  ERR_ISSUER_ROOT: {
    meaning: 'No root is known for an issuer, or what it issued does not lead to the one that is.',
    hint: 'name the file of its roots; where it was given a new root, put that into the file first',
    exit: 1,
  },
  ERR_ISSUER_FILES: {
    meaning:
      'Files that somebody else renews cannot be taken over: unreadable, not belonging together, ended, or older than what is held.',
    hint: 'the message says which; what is held stays in use until they are whole',
    exit: 2,
  },
} as const satisfies CodeFamily;
