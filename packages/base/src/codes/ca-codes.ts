import type { CodeFamily } from '../code-row.ts';

export const caCodes = {
  ERR_LEDGER_LOCKED: {
    meaning: 'Another process has the ledger open: a ledger has one writer.',
    hint: 'let the running authority do it (its admin socket is used when it serves), or stop it first',
    exit: 3,
  },
  ERR_LEDGER_FAILED: {
    meaning: 'The ledger cannot commit any more, so nothing is issued or revoked until a restart.',
    hint: 'look for the cause in the log (disk full, file removed), mend it, then restart the authority',
    exit: 3,
  },
  ERR_LEDGER_UNAVAILABLE: {
    meaning:
      'The database of the ledger cannot be reached, so nothing is issued or revoked until it answers again.',
    hint: 'see that the database runs and can be reached from here; the authority goes on by itself when it returns',
    exit: 3,
  },
  ERR_LEDGER_URL: {
    meaning: 'The configuration does not say where the database of the ledger is.',
    hint: 'give postgres://user:password@host:port/database under "ledger" in ca.yaml',
    exit: 2,
  },
  ERR_LEDGER_BACKUP: {
    meaning: 'What is to be restored is no whole and sound backup of a ledger.',
    hint: 'use another backup; keep this one, and the directory that was being made, for whoever looks into it',
    exit: 1,
  },
  ERR_AUDIT_BROKEN: {
    meaning: 'A row of the audit trail or a record of the ledger is not as it was written.',
    hint: 'keep the data as it is, compare it with the newest backup, and find out who could write to it',
    exit: 1,
  },
  ERR_LEDGER_TAMPERED: {
    meaning:
      'A document of the ledger (hierarchy, entries, keys for tokens, lists) is not the one that its audit trail has as the newest.',
    hint: 'run `countersign audit verify --data DIR`, find out who could write to the database, and restore its newest backup',
    exit: 1,
  },
  ERR_LEDGER_EDGE_RECORD: {
    meaning: 'A record of an edge was changed by another request at the same time.',
    hint: 'read it again and decide anew; an edge does so by itself',
    exit: 3,
  },
  ERR_LEDGER_CLOSED: {
    meaning: 'The ledger was asked for something after it was closed.',
    hint: 'start the authority again',
    exit: 3,
  },
  ERR_LEDGER_VERSION: {
    meaning:
      'The ledger file was written by a newer version of countersign, or by another program.',
    hint: 'use the version that wrote it, or give another data directory',
    exit: 2,
  },
  ERR_LEDGER_STATE: {
    meaning: 'A record does not follow from those before it; nothing was written.',
    hint: 'report it with the lines around it in the log',
    exit: 3,
  },
  ERR_LEDGER_ORDER: {
    meaning: 'A revocation names something that cannot be revoked that way.',
    hint: 'give it in the form that countersign revoke --help shows',
    exit: 2,
  },
  ERR_PROOF_KEY: {
    meaning:
      'A proof key is malformed, weak, of a kind that is not understood, or the key that it is to vouch for.',
    hint: 'use an ECDSA key on a NIST curve, RSA of 2048 bits or more, or Ed25519, apart from the key of the certificate',
    exit: 1,
  },
  ERR_PROOF_MISSING: {
    meaning:
      'A certificate whose identity has a long-term proof key is to be renewed without that key.',
    hint: 'give --proof-key as at enrolment; if the key is lost, enrol again with a new token',
    exit: 1,
  },
  ERR_PROOF_OTHER: {
    meaning:
      'A request for renewal is signed by another proof key than the one that its identity belongs to.',
    hint: 'give the key of the enrolment, or enrol again with a new token',
    exit: 1,
  },
  ERR_PROOF_SIGNATURE: {
    meaning:
      'The signature of a proof key is not over this request, not by that key, or not of now.',
    hint: 'compare the clocks of both machines; a proof key signs by the usual algorithm of its kind',
    exit: 1,
  },
  ERR_REVOKE_PROOF: {
    meaning: 'A revocation by key is not signed by the key of that certificate, or not lately.',
    hint: 'give the key and the certificate that belong together, and check the clocks of both machines',
    exit: 1,
  },
  ERR_REVOKE_WHOLE_DOMAIN: {
    meaning: 'A revocation would cover every workload of the trust domain, and that was not said.',
    hint: 'narrow it, or say --whole-trust-domain if everybody is meant; --dry-run shows whom it would hit',
    exit: 2,
  },
  ERR_LEDGER_NOT_HELD: {
    meaning: 'A release names something that is not on hold.',
    hint: 'what is revoked for good stays so; countersign audit export says what was put on hold, and by what',
    exit: 1,
  },
  ERR_LEDGER_CERTIFICATE_UNKNOWN: {
    meaning: 'The certificate is not in the ledger of this authority.',
    hint: 'check the serial with countersign inspect, and that this is the authority that issued it',
    exit: 1,
  },
  ERR_LEDGER_BLOCKED: {
    meaning:
      'The name, key or provisioner was revoked with a block: nothing is issued for it any more.',
    hint: 'use another name or a new key',
    exit: 1,
  },
  ERR_LEDGER_REVOKED: {
    meaning: 'The certificate presented for renewal has been revoked.',
    hint: 'enrol again with a new token from countersign token create',
    exit: 1,
  },
  ERR_LEDGER_NEEDS_TOKEN: {
    meaning: 'The name or key was revoked after the presented certificate was ordered.',
    hint: 'enrol again with a new token from countersign token create',
    exit: 1,
  },
  ERR_LEDGER_LEASE: {
    meaning:
      'A lease of the revocation feed was asked for under an instance or position it cannot have.',
    hint: 'give every gateway its own instance name, and follow the feed from the start again',
    exit: 1,
  },
  ERR_TOKEN_UNKNOWN: {
    meaning: 'The join token does not exist, or its secret is wrong.',
    hint: 'copy the whole token, or make a new one with countersign token create',
    exit: 1,
  },
  ERR_TOKEN_SPENT: {
    meaning: 'The join token was used already: it is good for one enrolment.',
    hint: 'make a new one with countersign token create',
    exit: 1,
  },
  ERR_TOKEN_EXPIRED: {
    meaning: 'The join token is past its end.',
    hint: 'make a new one with countersign token create',
    exit: 1,
  },
  ERR_TOKEN_VOID: {
    meaning: 'The join token was created before its identity, key or provisioner was revoked.',
    hint: 'make a new one with countersign token create',
    exit: 1,
  },
  ERR_STATE_EXISTS: {
    meaning: 'The data directory already holds something, and init never overwrites.',
    hint: 'give another directory, or move the old one away first',
    exit: 2,
  },
  ERR_STATE_MISSING: {
    meaning: 'The data directory holds no authority.',
    hint: 'make one with countersign init --config ca.yaml --data DIR',
    exit: 2,
  },
  ERR_STATE_ACCESS: {
    meaning:
      'The data directory, or a file of it, may not be opened by the user who runs the command.',
    hint: 'run it as the user who owns the data directory',
    exit: 2,
  },
  ERR_STATE_BROKEN: {
    meaning: 'The files of the data directory do not fit together.',
    hint: 'restore the directory from a backup as a whole; nothing was changed',
    exit: 2,
  },
  ERR_STATE_BACKUP: {
    meaning: 'The files of a backup do not fit together: an authority on them could not start.',
    hint: 'put the files that are named into the backup as they were, or use another backup; nothing was restored',
    exit: 1,
  },
  ERR_STATE_CONFIG: {
    meaning: 'The configuration asks for another hierarchy than the data directory holds.',
    hint: 'use the ca.yaml of that init, or init a new directory with the changed one',
    exit: 2,
  },
  ERR_KEY_SEALED: {
    meaning:
      'A sealed key does not open: the passphrase or key file is wrong, or the file was changed.',
    hint: 'give the passphrase or key file that init used; without it the key cannot be recovered',
    exit: 2,
  },
  ERR_KEY_FILE: {
    meaning:
      'A key file of the authority is missing, unreadable or not of a form that this version reads.',
    hint: 'restore it from a backup; check its owner and that its mode is 0600',
    exit: 2,
  },
  ERR_CSR_POSSESSION: {
    meaning: 'The request is not signed by the key that it asks a certificate for.',
    hint: 'make the request again with the private key at hand',
    exit: 1,
  },
  ERR_CSR_KEY_WEAK: {
    meaning: 'The key of the request is too weak to certify.',
    hint: 'make a new key, ECDSA P-256 for example, and a new request',
    exit: 1,
  },
  ERR_CSR_KEY_UNSUPPORTED: {
    meaning: 'The key of the request is of a kind that is not certified here.',
    hint: 'make a new key, ECDSA P-256 for example, and a new request',
    exit: 1,
  },
  ERR_CSR_KEY_REUSED: {
    meaning:
      'The key of the request is a key of the authority itself, or was certified for another identity.',
    hint: 'make a new key and a new request',
    exit: 1,
  },
  ERR_CSR_CA: {
    meaning:
      'The request asks for a certificate authority; services get end-entity certificates only.',
    hint: 'leave basicConstraints out of the request',
    exit: 1,
  },
  ERR_CSR_USAGE: {
    meaning: 'The request asks for a key usage that service certificates do not have here.',
    hint: 'leave it out of the request, or add it to required_extensions in ca.yaml',
    exit: 1,
  },
  ERR_CSR_EXTENSION_REFUSED: {
    meaning: 'The request asks for an extension that is not granted by request.',
    hint: 'leave it out of the request',
    exit: 1,
  },
  ERR_POLICY_NAME: {
    meaning:
      'A name is not granted: the token, certificate or order behind the request does not give it.',
    hint: 'leave the name out of the request, or grant it with a new token',
    exit: 1,
  },
  ERR_POLICY_NAME_KIND: {
    meaning: 'Certificates of this authority carry SPIFFE IDs, DNS names and IP addresses only.',
    hint: 'leave names of other kinds out of the request',
    exit: 1,
  },
  ERR_POLICY_NAME_MISSING: {
    meaning: 'A certificate needs a name, and nothing gave it one.',
    hint: 'give --spiffe-id, --dns or --ip',
    exit: 1,
  },
  ERR_POLICY_SPIFFE_REQUIRED: {
    meaning: 'The policy san_policies.require_spiffe wants a SPIFFE ID in every certificate.',
    hint: 'give --spiffe-id, or set require_spiffe: false in ca.yaml',
    exit: 1,
  },
  ERR_POLICY_SPIFFE_ID: {
    meaning:
      'The SPIFFE ID is malformed, without a path, of another trust domain, or reserved for the authority.',
    hint: 'give an ID such as spiffe://TRUST-DOMAIN/ns/prod/sa/payments',
    exit: 1,
  },
  ERR_POLICY_DNS: {
    meaning:
      'The DNS name is malformed, or no pattern of san_policies.allowed_dns_patterns admits it.',
    hint: 'ask for another name, or add a pattern to ca.yaml',
    exit: 1,
  },
  ERR_POLICY_IP: {
    meaning: 'An IP address is asked for, and san_policies.allow_ip_san does not admit addresses.',
    hint: 'ask for a DNS name, or set allow_ip_san: true in ca.yaml',
    exit: 1,
  },
  ERR_POLICY_IP_FORM: {
    meaning: 'What is asked for as an IP address is none.',
    hint: 'write an IPv4 address such as 10.0.0.7, or an IPv6 address such as fd00::7; a host name is a DNS name',
    exit: 1,
  },
  ERR_POLICY_KEY_KIND: {
    meaning: 'The key of the request is not of the kind that service_certificates wants.',
    hint: 'make a key of the kind that the message names, and a new request',
    exit: 1,
  },
  ERR_POLICY_TTL: {
    meaning: 'The lifetime asked for is longer than what is granted, or too short to be used.',
    hint: 'ask for less, or raise max_validity in ca.yaml',
    exit: 1,
  },
  ERR_POLICY_ISSUER_ENDS: {
    meaning: 'The certificate would outlive the intermediate or root that vouches for it.',
    hint: 'ask for a shorter lifetime; the intermediate is due for replacement',
    exit: 1,
  },
  ERR_POLICY_NO_ISSUER: {
    meaning: 'No intermediate admits all the names together.',
    hint: 'ask for the names in separate certificates, or change nameConstraints in a new hierarchy',
    exit: 1,
  },
  ERR_LINT: {
    meaning: 'A certificate was about to be signed that breaks the profile; it was not.',
    hint: 'report it with the lines around it in the log',
    exit: 3,
  },
  ERR_SIGNER: {
    meaning: 'The signing key gave no signature, or one that its certificate does not verify.',
    hint: 'look for the cause in the log; the certificate was abandoned and nothing was handed out',
    exit: 3,
  },
  ERR_RENEW_FOREIGN: {
    meaning: 'The certificate presented for renewal was not issued by this authority.',
    hint: 'enrol with a token of this authority',
    exit: 1,
  },
  ERR_REVOKE_FORBIDDEN: {
    meaning: 'A workload may revoke itself; others only if ca.yaml names it under api.admins.',
    hint: 'run countersign revoke --data DIR where the state is, or as an administrator',
    exit: 1,
  },
  ERR_API_CERTIFICATE_NEEDED: {
    meaning: 'The route needs a client certificate of this authority, and none was shown.',
    hint: 'enrol first, then call with the identity (--identity DIR)',
    exit: 1,
  },
  ERR_API_CERTIFICATE_REVOKED: {
    meaning: 'The client certificate has been revoked.',
    hint: 'enrol again with a new token from countersign token create',
    exit: 1,
  },
  ERR_API_CERTIFICATE_UNKNOWN: {
    meaning: 'The client certificate leads to our root, and its serial is not in this ledger.',
    hint: 'the ledger was restored from an old copy, or the key of the authority signed elsewhere: find out which',
    exit: 1,
  },
  ERR_API_FORBIDDEN: {
    meaning: 'The identity is known, and ca.yaml does not let it do this.',
    hint: 'name its SPIFFE ID under api in ca.yaml, or use an identity that is named there',
    exit: 1,
  },
  ERR_API_GUESSES: {
    meaning: 'Too many wrong join tokens came from one address.',
    hint: 'wait some seconds, then enrol with the right token',
    exit: 1,
  },
  ERR_API_BUSY: {
    meaning:
      'More certificates are asked for than the authority can issue in the time that a caller waits.',
    hint: 'it may come again after the seconds of Retry-After, as identities and agents do by themselves',
    exit: 3,
  },
  ERR_API_FEED_LIMIT: {
    meaning:
      'The authority holds as many streams of the revocation feed as it may, of this caller or in all.',
    hint: 'find who opens so many streams, or raise `api.feedStreams` of ca.yaml',
    exit: 3,
  },
  ERR_API_FEED_CURSOR: {
    meaning:
      'A reader of the revocation feed is ahead of the ledger, so one of them is of another history.',
    hint: 'the ledger was restored from an old copy: remove the state of the reader so that it reads from the start',
    exit: 3,
  },
  ERR_API_CLOSING: {
    meaning: 'The authority is shutting down.',
    hint: 'try again once it runs',
    exit: 3,
  },
  ERR_API_SOCKET: {
    meaning: 'The admin socket of a data directory could not be opened.',
    hint: 'check who owns the data directory, and run the command as that user',
    exit: 3,
  },
} as const satisfies CodeFamily;
