import { parseConfigText, readDocument } from '@countersign/config';
import type { VerifiedPeer } from '@countersign/spiffe';
import { formatName } from '@countersign/x509';
import { z } from 'zod';
import { compileTexts, type MatchesText, readTextMatch } from '../rules/text-match.ts';

/** What an identity is beside its name: told to rules, and to whoever is behind a gateway. */
export interface IdentityFacts {
  readonly roles: readonly string[];
  readonly tenant: string | undefined;
  readonly rateClass: string | undefined;
}

export interface RoleMapping {
  /** Of each fact, in which header it is told; undefined: it is not. */
  readonly headers: {
    readonly roles: string | undefined;
    readonly tenant: string | undefined;
    readonly rateClass: string | undefined;
  };
  /** The facts of a peer; the same object for the same peer. */
  of(peer: VerifiedPeer): IdentityFacts;
}

const headerName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,99}$/, 'expected a header name')
  .optional();
const word = z.string().regex(/^[\x21-\x2b\x2d-\x7e]{1,200}$/, 'expected a word without commas');
const factsShape = {
  roles: z.array(word).max(100).optional(),
  tenant: word.optional(),
  rateClass: word.optional(),
};
const patterns = z.array(z.string().min(1)).min(1).optional();

const mappingSchema = z.strictObject({
  headers: z
    .strictObject({ roles: headerName, tenant: headerName, rateClass: headerName })
    .optional(),
  /** All that match count: their roles together, tenant and rate class of the first that has one. */
  identities: z
    .array(
      z.strictObject({
        match: z
          .strictObject({
            /** With the scheme; a star before or after stands for the rest. */
            spiffeIds: patterns,
            dnsNames: patterns,
            /** RFC 4514. */
            subjects: patterns,
            /** SHA-256 of the certificate, lowercase hex. */
            fingerprints: patterns,
          })
          .refine(
            (match) => Object.values(match).some((list) => list !== undefined),
            'expected one of "spiffeIds", "dnsNames", "subjects", "fingerprints"',
          ),
        ...factsShape,
      }),
    )
    .max(100_000),
  /** Of a peer that nothing matches. */
  otherwise: z.strictObject(factsShape).optional(),
});

type WrittenRow = z.output<typeof mappingSchema>['identities'][number];

/**
 * Reads a mapping file: which identity has which roles, which tenant, which rate class. Rules ask for them by
 * `when: [{ key: experimental.envoy.filters.countersign.identity[roles], values: ["[admin]"] }]`, `[tenant]` and
 * `[rateClass]` likewise without the inner brackets.
 *
 * @throws ConfigError
 */
export function parseRoleMapping(text: string, file: string): RoleMapping {
  const written = readDocument(mappingSchema, parseConfigText(text, file));
  const rows = written.identities.map(compileRow);
  const otherwise = factsOf(written.otherwise === undefined ? [] : [written.otherwise]);
  const known = new WeakMap<VerifiedPeer, IdentityFacts>();
  const { roles, tenant, rateClass } = written.headers ?? {};
  return {
    headers: { roles, tenant, rateClass },
    of(peer) {
      const before = known.get(peer);
      if (before !== undefined) return before;
      const matching = rows.filter(({ matches }) => matches(peer)).map(({ row }) => row);
      const facts = matching.length === 0 ? otherwise : factsOf(matching);
      known.set(peer, facts);
      return facts;
    },
  };
}

type WrittenFacts = Pick<WrittenRow, 'roles' | 'tenant' | 'rateClass'>;

function factsOf(rows: readonly WrittenFacts[]): IdentityFacts {
  return {
    roles: [...new Set(rows.flatMap(({ roles = [] }) => roles))],
    tenant: rows.find(({ tenant }) => tenant !== undefined)?.tenant,
    rateClass: rows.find(({ rateClass }) => rateClass !== undefined)?.rateClass,
  };
}

function compileRow(row: WrittenRow) {
  const { spiffeIds, dnsNames, subjects, fingerprints } = row.match;
  const ids = compiled(spiffeIds);
  const names = compiled(dnsNames);
  const subject = compiled(subjects);
  const fingerprint = compiled(fingerprints);
  return {
    row,
    /** Each kind of name that the row asks for has to match, by one of its patterns. */
    matches(peer: VerifiedPeer): boolean {
      return (
        (ids?.(peer.spiffeId?.toString() ?? '') ?? true) &&
        (names === undefined || dnsNamesOf(peer).some(names)) &&
        (subject?.(formatName(peer.leaf.subject)) ?? true) &&
        (fingerprint?.(peer.fingerprint) ?? true)
      );
    },
  };
}

function compiled(list: readonly string[] | undefined): MatchesText | undefined {
  return list === undefined ? undefined : compileTexts(list.map(readTextMatch));
}

function dnsNamesOf(peer: VerifiedPeer): string[] {
  return peer.names.flatMap((name) => (name.kind === 'dns' ? [name.value] : []));
}
