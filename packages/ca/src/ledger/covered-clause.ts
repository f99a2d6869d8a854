import { parseIssuerValue, type RevocationBy } from '@countersign/wire/revocation-kinds';
import { parseRevocationWindow } from '@countersign/wire/revocation-window';
import { ownProvisioners } from './covers.ts';

/** A condition on the table of intents, with `?` for each value. */
export interface CoveredClause {
  readonly clause: string;
  readonly values: readonly (string | number)[];
}

/** What `matches` says, in SQL that every database of ours speaks: to count, never to decide. */
export function coveredClause(by: Exclude<RevocationBy, 'serial'>, value: string): CoveredClause {
  return clauses[by](value);
}

const notOwn = `provisioner NOT IN (${[...ownProvisioners].map((name) => `'${name}'`).join(', ')})`;

const clauses: Readonly<Record<Exclude<RevocationBy, 'serial'>, (value: string) => CoveredClause>> =
  {
    'spiffe-id': (value) => ({ clause: 'spiffe_id = ?', values: [value] }),
    'spiffe-prefix': (value) => ({
      clause: `substr(spiffe_id, 1, ${value.length}) = ? AND ${notOwn}`,
      values: [value],
    }),
    key: (value) => ({ clause: '(spki_hash = ? OR proof_key = ?)', values: [value, value] }),
    issuer: (value) => ({ clause: 'issuer = ?', values: [parseIssuerValue(value).name] }),
    provisioner: (value) => ({ clause: 'provisioner = ?', values: [value] }),
    token: (value) => ({
      clause: `((grant_kind = 'token' AND granted_by = ?) OR (grant_kind = 'renewal' AND granted_by LIKE ?))`,
      values: [value, `% ${value}`],
    }),
    time(value) {
      const {
        after = 0,
        before = Number.MAX_SAFE_INTEGER,
        and,
      } = parseRevocationWindow(value) ?? {
        before: 0,
      };
      const inner = and === undefined ? undefined : coveredClause(and.by, and.value);
      const more = inner === undefined ? '' : ` AND ${inner.clause}`;
      return {
        clause: `at >= ? AND at < ? AND ${notOwn}${more}`,
        values: [after, before, ...(inner?.values ?? [])],
      };
    },
  };
