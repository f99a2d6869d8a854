import { type Members, readMessage } from './read-message.ts';

/** A certificate of the authority's own. Dates are ms since the epoch. */
export interface CertificateState {
  readonly name: string;
  /** SHA-256 of its DER, lowercase hexadecimal. */
  readonly fingerprint: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** Whether its key is with the authority. */
  readonly signs: boolean;
}

/** Where keys are, and what is wrong there. */
export interface SignerState {
  readonly store: string;
  readonly finding?: string | undefined;
}

export interface ListStateOfAuthority {
  readonly issuer: string;
  /** Below `publish.url`. */
  readonly path: string;
  /** Decimal digits. */
  readonly number: string;
  readonly entries: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

export interface LogState {
  readonly origin: string;
  /** Certificates that its newest checkpoint commits to, and the root hash, lowercase hexadecimal. */
  readonly size: number;
  readonly root: string;
}

export interface RetentionOfLedger {
  readonly enabled: boolean;
  /** Records that were archived since the ledger was made. */
  readonly certificates: number;
  readonly tokens: number;
  readonly revocations: number;
  /** What the last whole round took: everything that had ended before; 0 when there was none. */
  readonly endedBefore: number;
  readonly finishedAt: number;
}

/** What a workload is told of itself, and of the authority's health without the reasons. */
export interface OwnState {
  readonly spiffeId?: string | undefined;
  readonly serial: string;
  readonly notAfter: number;
  /** Whether the authority has findings, which its operators are told. */
  readonly isWell: boolean;
}

/** Something that an operator should look at. */
export interface StatusFinding {
  /** What it is about: `ledger`, `signers`, `lists`, `log`, `retention`, `clock`, `certificates`, `state`, `gateways`. */
  readonly about: string;
  readonly detail: string;
}

const hex = { pattern: /^[0-9a-f]{64}$/, form: 'a SHA-256 in lowercase hexadecimal' };

/** Readers of the parts of a status, by the member that holds them: the older members are read elsewhere. */
export const statusParts = {
  certificates: listOf(
    'certificates',
    1000,
    (m): CertificateState => ({
      name: m.text('name', { max: 256 }),
      fingerprint: m.text('fingerprint', hex),
      notBefore: m.integer('notBefore', { min: Number.MIN_SAFE_INTEGER }),
      notAfter: m.integer('notAfter', { min: 0 }),
      signs: m.boolean('signs'),
    }),
  ),
  signers: listOf(
    'signers',
    1000,
    (m): SignerState => ({
      store: m.text('store', { max: 512 }),
      ...(m.has('finding') && { finding: m.text('finding') }),
    }),
  ),
  lists: listOf(
    'lists',
    100_000,
    (m): ListStateOfAuthority => ({
      issuer: m.text('issuer', { max: 256 }),
      path: m.text('path', { max: 512 }),
      number: m.text('number', { pattern: /^\d{1,48}$/, form: 'a number' }),
      entries: m.integer('entries', { min: 0 }),
      thisUpdate: m.integer('thisUpdate', { min: 0 }),
      nextUpdate: m.integer('nextUpdate', { min: 0 }),
    }),
  ),
  log: objectOf(
    'log',
    (m): LogState => ({
      origin: m.text('origin', { max: 512 }),
      size: m.integer('size', { min: 0 }),
      root: m.text('root', hex),
    }),
  ),
  retention: objectOf(
    'retention',
    (m): RetentionOfLedger => ({
      enabled: m.boolean('enabled'),
      certificates: m.integer('certificates', { min: 0 }),
      tokens: m.integer('tokens', { min: 0 }),
      revocations: m.integer('revocations', { min: 0 }),
      endedBefore: m.integer('endedBefore', { min: 0 }),
      finishedAt: m.integer('finishedAt', { min: 0 }),
    }),
  ),
  own: objectOf(
    'own',
    (m): OwnState => ({
      ...(m.has('spiffeId') && { spiffeId: m.text('spiffeId', { max: 2048 }) }),
      serial: m.text('serial', { max: 64 }),
      notAfter: m.integer('notAfter', { min: 0 }),
      isWell: m.boolean('isWell'),
    }),
  ),
  findings: listOf(
    'findings',
    1000,
    (m): StatusFinding => ({
      about: m.text('about', { max: 64 }),
      detail: m.text('detail', { max: 65_536 }),
    }),
  ),
} as const;

const tolerant = { unknown: 'ignore' } as const;

function listOf<T>(name: string, maxItems: number, read: (m: Members) => T) {
  return (members: Members): readonly T[] | undefined =>
    members.optional(name, () =>
      members.list(name, { maxItems }, (item, at) =>
        readMessage(`status response ${at}`, item, read, tolerant),
      ),
    );
}

function objectOf<T>(name: string, read: (m: Members) => T) {
  return (members: Members): T | undefined =>
    members.optional(name, () =>
      readMessage(`status response ${name}`, members.object(name), read, tolerant),
    );
}
