import type { CodeFamily } from '../code-row.ts';

const client = 'the client learns the same from the answer; who asked is in the log line';

/** Refusals of the edge that speaks Vault's API. */
export const caVaultCodes = {
  ERR_VAULT_OFF: {
    meaning: "The authority does not speak Vault's API.",
    hint: 'open it with a section "vault" in ca.yaml, see docs/vault.md',
    exit: 2,
  },
  ERR_VAULT_DENIED: {
    meaning:
      'A request to the Vault API has no token, one that is unknown or over, or one whose policies do not allow it.',
    hint: 'log in again, or write a policy that names the path: "sys/capabilities-self" says what a token may',
    exit: 1,
  },
  ERR_VAULT_REQUEST: {
    meaning: 'A request to the Vault API says something that cannot be read or done.',
    hint: client,
    exit: 1,
  },
  ERR_VAULT_ROLE: {
    meaning: 'A role of the Vault API does not allow what is asked for.',
    hint: 'read the role and compare: a role narrows what ca.yaml allows, and never widens it',
    exit: 1,
  },
  ERR_VAULT_LOGIN: {
    meaning: 'A login to the Vault API shows no credential that is good for the role.',
    hint: 'the log line says which check failed; the client is told less',
    exit: 1,
  },
  ERR_VAULT_PATH: {
    meaning: 'A request to the Vault API is for a path, a method or a thing that is not there.',
    hint: 'list what is there ("sys/mounts", "<mount>/roles"); docs/vault.md has the paths that are served',
    exit: 1,
  },
  ERR_VAULT_UNSUPPORTED: {
    meaning: 'A request to the Vault API sets what is not done here.',
    hint: 'leave it out; docs/vault.md says what stands in its place',
    exit: 1,
  },
  ERR_VAULT_RATE: {
    meaning: 'Too many logins to the Vault API failed from one address.',
    hint: 'wait as long as the answer says',
    exit: 1,
  },
  ERR_VAULT_INTERNAL: {
    meaning: 'A request to the Vault API could not be answered now.',
    hint: 'look for the same id in the log',
    exit: 3,
  },
} as const satisfies CodeFamily;
