import type { CodeFamily } from '../code-row.ts';

export const jwtCodes = {
  ERR_JWT_FORM: {
    meaning: 'A token cannot be read: not three parts, not JSON, or without a claim that it needs.',
    hint: 'ask who issued it for a JWT-SVID: compact JWS with kid, sub, aud and exp',
    exit: 1,
  },
  ERR_JWT_ALGORITHM: {
    meaning: 'A token is signed with an algorithm that is not allowed, or that is not of its key.',
    hint: 'sign with RS, ES or PS of 256, 384 or 512; never none or HS',
    exit: 1,
  },
  ERR_JWT_TRUST_DOMAIN: {
    meaning: 'A token is of a trust domain for which there is no trust bundle.',
    hint: 'federate with that trust domain, or use a token of your own',
    exit: 1,
  },
  ERR_JWT_KEY: {
    meaning: 'A token names a key that the bundle of its trust domain does not have.',
    hint: 'look at the bundle again; keys are published before they sign, and until their last token has ended',
    exit: 1,
  },
  ERR_JWT_SIGNATURE: {
    meaning: 'The signature of a token does not fit its content and key.',
    hint: 'do not use it; it was changed on the way, or is a forgery',
    exit: 1,
  },
  ERR_JWT_EXPIRED: {
    meaning: 'A token has ended.',
    hint: 'fetch a new one; compare the clocks of issuer and verifier if it is fresh',
    exit: 1,
  },
  ERR_JWT_NOT_YET_VALID: {
    meaning: 'A token is not valid yet.',
    hint: 'compare the clocks of issuer and verifier',
    exit: 1,
  },
  ERR_JWT_AUDIENCE: {
    meaning: 'A token is meant for somebody else.',
    hint: 'fetch one whose audience has the name of whoever verifies it',
    exit: 1,
  },
  ERR_JWT_ISSUER: {
    meaning: 'A token is of an issuer whose tokens are not taken where it was found.',
    hint: 'send a token of an issuer that a RequestAuthentication names, or name this one in a rule',
    exit: 1,
  },
  ERR_JWT_KEYS: {
    meaning:
      'The keys that tokens of another issuer are verified with cannot be had, or are not understood.',
    hint: 'see that the address in the configuration answers, and that its network is allowed',
    exit: 3,
  },
  ERR_JWT_OFF: {
    meaning: 'The authority issues no JWT-SVIDs, or does not say under which issuer.',
    hint: 'add a section jwt to ca.yaml, with issuer for OIDC discovery',
    exit: 1,
  },
} as const satisfies CodeFamily;
