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
    hint: 'find out why its ledger went back; revoke again what it lost, then remove revocations.ndjson from the data directory of this edge and restart it',
    exit: 3,
  },
  ERR_REVOCATION_AUTHORITY: {
    meaning: 'The feed is of another trust domain than the one followed so far.',
    hint: 'check the address of the authority; for a new authority remove revocations.ndjson from the data directory of this edge and restart it',
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
} as const satisfies CodeFamily;
