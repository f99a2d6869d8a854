import type { CodeFamily } from '../code-row.ts';

export const revocationCodes = {
  ERR_REVOCATION_STOPPED: {
    meaning: 'Following the revocation feed was stopped before it was caught up with.',
    hint: 'the program ends, or has to follow the feed again',
    exit: 3,
  },
  ERR_REVOCATION_GAP: {
    meaning: 'A revocation frame does not follow the last one applied: one in between is missing.',
    hint: 'nothing to do: the follower asks again from its last position; if it repeats, look for a proxy before the authority',
    exit: 3,
  },
  ERR_REVOCATION_ORDER: {
    meaning: 'A revocation frame came twice or out of order.',
    hint: 'nothing to do: the follower asks again from its last position; if it repeats, look for a proxy before the authority',
    exit: 3,
  },
  ERR_REVOCATION_BEHIND: {
    meaning:
      'The authority knows fewer revocations than were already received from it, as after a restore of an old backup.',
    hint: "find out why; revoke again what it lost, then remove revocations.ndjson from this edge's data directory and restart it",
    exit: 3,
  },
  ERR_REVOCATION_AUTHORITY: {
    meaning: 'The feed is of another trust domain than the one followed so far.',
    hint: 'check the address of the authority; for a new one remove revocations.ndjson from the data directory here and restart',
    exit: 2,
  },
  ERR_REVOCATION_UNMATCHABLE: {
    meaning:
      'A revocation is by something that cannot be seen in a certificate, so that it cannot be applied here.',
    hint: 'update this edge, revoke by SPIFFE ID or key meanwhile; it fails closed after its maximum silence',
    exit: 3,
  },
  ERR_REVOCATION_STATE: {
    meaning:
      'The file that keeps the revocations received so far is damaged, or could not be read, written or removed.',
    hint: 'nothing to do while the authority can be reached: what is revoked is kept in memory; mend the cause before the next start',
    exit: 3,
  },
  ERR_REVOCATION_LIFETIME: {
    meaning:
      'The certificate of the peer lasts longer than this edge lets in without asking about its revocation.',
    hint: 'issue shorter certificates to this peer, raise revocation.maxLifetime, or choose another revocation.method',
    exit: 1,
  },
  ERR_REVOCATION_UNNAMED: {
    meaning:
      'Neither the certificate nor the configuration names an http address where its revocation could be asked about.',
    hint: 'issue certificates with a distribution point or a responder, or name one under revocation.crl or revocation.ocsp',
    exit: 1,
  },
  ERR_REVOCATION_ADDRESS: {
    meaning: 'An address for revocation that a certificate names is not one that is asked.',
    hint: 'only plain http to public addresses is asked; list private networks under revocation.fetch.allow',
    exit: 1,
  },
  ERR_REVOCATION_BUSY: {
    meaning: 'So many look-ups of revocation wait that no more are taken.',
    hint: 'look for the responder that does not answer; countersign_revocation_lookups_total names the results',
    exit: 3,
  },
  ERR_REVOCATION_UNREACHABLE: {
    meaning: 'The server of a revocation list, or an OCSP responder, did not answer in time.',
    hint: 'check from this machine that the address answers over plain http; what was heard last is used for revocation.maxStale',
    exit: 3,
  },
  ERR_REVOCATION_ANSWER: {
    meaning:
      'What came instead of a revocation list or an OCSP answer is not one: another status, a redirect, too long, or malformed.',
    hint: 'ask the address with curl and look at what it gives; redirects are not followed',
    exit: 3,
  },
  ERR_REVOCATION_UNPROVED: {
    meaning:
      'A revocation list or an OCSP answer is not signed by the issuer, nor by whom it lets sign, or is about something else.',
    hint: 'check that the address belongs to the issuer of the certificate; somebody on the way may have changed the answer',
    exit: 3,
  },
  ERR_REVOCATION_REPLAYED: {
    meaning: 'A revocation list or an OCSP answer is older than the one that came before it.',
    hint: 'nothing to do: the newer one is kept; if it repeats, look for an old replica or a proxy before the server',
    exit: 3,
  },
} as const satisfies CodeFamily;
