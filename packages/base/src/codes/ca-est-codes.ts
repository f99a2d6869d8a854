import type { CodeFamily } from '../code-row.ts';

const client = 'the client learns the same from the answer; who asked is in the log line';

/** Refusals of the edge that speaks EST. */
export const caEstCodes = {
  ERR_EST_CREDENTIALS: {
    meaning:
      'An EST client shows no password, token or certificate that is good for what it asks for.',
    hint: 'the log line says which was looked at; est.users and est.devices of ca.yaml name who may come',
    exit: 1,
  },
  ERR_EST_RATE: {
    meaning: 'An EST client fails to log in, or asks for certificates, faster than is allowed.',
    hint: 'it may come again after the seconds of Retry-After; est.limits sets the rates',
    exit: 1,
  },
  ERR_EST_PATH: {
    meaning: 'An EST client asks for an operation, a label or a method that is not there.',
    hint: 'est.labels of ca.yaml names the labels; serverkeygen needs est.server_keygen',
    exit: 1,
  },
  ERR_EST_REQUEST: {
    meaning: 'A request of an EST client cannot be read.',
    hint: client,
    exit: 1,
  },
  ERR_EST_BINDING: {
    meaning:
      'The challengePassword of an EST request does not link it to the TLS connection that it came by.',
    hint: 'the client sends tls-unique (TLS 1.2) or tls-exporter (TLS 1.3) of this very connection, and nothing between may end TLS',
    exit: 1,
  },
  ERR_EST_NAMES: {
    meaning: 'An EST request asks for names that whoever sends it may not have.',
    hint: 'a re-enrolment has the names of its certificate; the names of a device are those of est.devices',
    exit: 1,
  },
  ERR_EST_KEYGEN: {
    meaning: 'The key that an EST client wants made cannot be encrypted as the request says.',
    hint: 'ask by the key id of the RSA or EC certificate that the client shows, or by an id of est.decrypt_keys',
    exit: 1,
  },
  ERR_EST_UNSUPPORTED: {
    meaning: 'An EST client asks for an operation that is not done here.',
    hint: 'use simpleenroll, simplereenroll or serverkeygen in the place of fullcmc',
    exit: 1,
  },
  ERR_EST_FILE: {
    meaning: 'A file that ca.yaml names under est cannot be read, or has not the form it needs.',
    hint: 'see the file that the message names; "countersign est password" writes the hash of a password',
    exit: 2,
  },
  ERR_EST_INTERNAL: {
    meaning: 'An EST request could not be answered now.',
    hint: 'look for the same id in the log',
    exit: 3,
  },
} as const satisfies CodeFamily;
