import { type Denial, type ErrorCode, type Fields, formatDuration } from '@countersign/base';
import { quotedList } from '../dns-name.ts';
import type { ClauseAnswer } from '../policy/who.ts';

/** What would have to be otherwise, as the end of "it would pass if …". Several are as good as each other. */
export function passIf({ code, fields }: Denial): string {
  const remedy = remedies[code]?.(fields);
  return remedy ?? 'the request were another one';
}

type Remedy = (fields: Fields) => string | undefined;

const newKey = 'the key were a new one, ECDSA P-256 for example';

/** A row a code; the fields are those of the denial. */
const remedies: Readonly<Partial<Record<ErrorCode, Remedy>>> = {
  ERR_CSR_KEY_WEAK: () => newKey,
  ERR_CSR_KEY_UNSUPPORTED: () => newKey,
  ERR_CSR_KEY_BLOCKED: ({ file }) => `${newKey}, or "${file}" did not list it`,
  ERR_CSR_KEY_REUSED: () => newKey,
  ERR_CSR_POSSESSION: () => 'the request were signed by its own key',
  ERR_CSR_CA: () => 'the request left the CA flag out',
  ERR_CSR_USAGE: ({ usage, purpose }) =>
    `the request left "${usage ?? purpose}" out, or the profile had it`,
  ERR_CSR_EXTENSION_REFUSED: ({ oid }) =>
    `the request left extension "${oid}" out, or other_extensions were ignore`,
  ERR_CSR_COMMON_NAME: ({ commonName }) => `the request left the common name "${commonName}" out`,
  ERR_POLICY_NAME: ({ names }) =>
    Array.isArray(names)
      ? `${quotedList(names)} were granted, or left out of the request`
      : undefined,
  ERR_POLICY_NAME_KIND: () => 'the request left names of other kinds out',
  ERR_POLICY_NAME_MISSING: () => 'a name were asked for',
  ERR_POLICY_SPIFFE_REQUIRED: () => 'a SPIFFE ID were asked for, or require_spiffe were false',
  ERR_POLICY_SPIFFE_ID: ({ trustDomain }) =>
    trustDomain === undefined
      ? 'the SPIFFE ID were well-formed'
      : `the SPIFFE ID were of trust domain "${trustDomain}", with a path of its own`,
  ERR_POLICY_DNS: ({ name, allowed, wrong }) =>
    wrong !== undefined
      ? `"${name}" were a DNS name, or left out`
      : Array.isArray(allowed) && allowed.length > 0
        ? `"${name}" fitted ${quotedList(allowed)}, or allowed_dns_patterns had it`
        : `allowed_dns_patterns, or nameConstraints of an intermediate, named "${name}"`,
  ERR_POLICY_IP_FORM: ({ address }) => `"${address}" were an IP address, or left out`,
  ERR_POLICY_IP: ({ address }) => `allow_ip_san were true, or "${address}" left out`,
  ERR_POLICY_RULE: passIfRule,
  ERR_POLICY_PROFILE: ({ profile, known, clauses, able }) =>
    Array.isArray(able)
      ? `the intermediate were one of ${quotedList(able)}`
      : Array.isArray(known)
        ? `the profile were one of ${quotedList(known)}`
        : `another profile were asked for, or "${profile}" were for this request${of(clauses)}`,
  ERR_POLICY_KEY_KIND: ({ wanted }) => `the key were "${wanted}" or longer`,
  ERR_POLICY_TTL: ({ limitMs, leastMs }) =>
    typeof limitMs === 'number'
      ? `the lifetime were at most "${formatDuration(limitMs)}"`
      : typeof leastMs === 'number'
        ? `the lifetime were at least "${formatDuration(leastMs)}"`
        : undefined,
  ERR_POLICY_ISSUER_ENDS: ({ possibleUntil }) =>
    typeof possibleUntil === 'number'
      ? `it ended by ${new Date(possibleUntil).toISOString()}`
      : undefined,
  ERR_POLICY_NO_ISSUER: ({ known }) =>
    Array.isArray(known)
      ? `the intermediate were one of ${quotedList(known)}`
      : 'its names were within the constraints of one intermediate',
  ERR_LEDGER_BLOCKED: ({ by }) =>
    by === 'provisioner'
      ? 'another provisioner vouched for it: a revocation blocked this one for good'
      : 'the name or key were another one: a revocation blocked it for good',
  ERR_ROTATION_NO_ISSUER: ({ issuer }) =>
    `"${issuer}" had a new key, or another intermediate admitted the names`,
};

function passIfRule({ rule, name, denies, clauses }: Fields): string {
  if (denies !== undefined) return `rule "${rule}" did not deny "${name}"`;
  const failing = clausesOf(clauses).filter(({ ok }) => !ok);
  const parts = failing.map(({ clause }) => ruleParts[clause](name));
  return `rule "${rule}" ${parts.length === 0 ? 'allowed it' : parts.join(', and ')}`;
}

const ruleParts: Readonly<Record<ClauseAnswer['clause'], (name: unknown) => string>> = {
  provisioners: () => 'named the provisioner',
  callers: () => 'named the caller',
  when: () => 'had a condition that holds',
  allow: (name) => `allowed "${name}"`,
  deny: (name) => `did not deny "${name}"`,
  names: (name) => `were for "${name}"`,
};

function of(clauses: unknown): string {
  const failing = clausesOf(clauses).filter(({ ok }) => !ok);
  return failing.length === 0 ? '' : ` (${failing.map(({ detail }) => detail).join(', and ')})`;
}

/** The clauses that a denial of rules or profiles carries; others carry none. */
export function clausesOf(clauses: unknown): readonly ClauseAnswer[] {
  return Array.isArray(clauses) ? (clauses as readonly ClauseAnswer[]) : [];
}
