import type { SQLInputValue } from 'node:sqlite';
import { coveredClause } from './covered-clause.ts';
import type { CertificateQuery, RevocationBy } from './ledger.ts';
import { columnFor, selectArchivedCertificates, selectCertificates } from './ledger-rows.ts';
import type { CoveredRange } from './ledger-store.ts';
import { type IntentIndex, keyOf } from './sqlite-intent-index.ts';

export interface Question {
  readonly text: string;
  readonly values: readonly SQLInputValue[];
}

type Between = readonly [at: number, above: number, upTo: number];

/** How many intents are not abandoned and end after a moment, up to one position and above another: the sum of the answers. */
export function countCoveredQuestions(
  by: Exclude<RevocationBy, 'serial'>,
  value: string,
  between: Between,
  index: IntentIndex,
): readonly Question[] {
  const what = `not_after > ? AND outcome IS NOT 'abandoned' AND i.position > ? AND i.position <= ?`;
  const count = (from: From): Question => ({
    text: `${from.before ?? ''} SELECT count(*) AS matched FROM ${from.tables} WHERE ${from.where} AND ${what}`,
    values: [...from.values, ...between],
  });
  // No certificate is of a key and vouched for by it.
  if (by === 'key') return [...fromIndexed(by, value, index), ofProofKey(value)].map(count);
  if (by === 'spiffe-id') return fromIndexed(by, value, index).map(count);
  // By position and by no index: those of a provisioner would be gone through for each page.
  const { clause, values } = coveredClause(by, value);
  return [count({ tables: 'intents AS i NOT INDEXED', where: clause, values })];
}

/** Intents of a value, between two positions, each question in their order and at most so many: the first of all answers. */
export function coveredIntentsQuestions(
  { by, value, above, below }: CoveredRange,
  limit: number,
  index: IntentIndex,
): readonly Question[] {
  const select = (from: From): Question => ({
    text: `${from.before ?? ''} SELECT i.* FROM ${from.tables} WHERE ${from.where}
      AND i.position > ? AND i.position < ? ORDER BY i.position LIMIT ?`,
    values: [...from.values, above, below, limit],
  });
  if (by === 'proof-key') return [select(ofProofKey(value))];
  if (by === 'spiffe-id' || by === 'key') return fromIndexed(by, value, index).map(select);
  // By position and by no index (so says the sign), where the range is bounded and most of it is wanted.
  return [select({ tables: 'intents AS i', where: `+i.${columnFor[by]} = ?`, values: [value] })];
}

/** Certificates that are not archived; where a key is asked for, also those that are. Newest first. */
export function findCertificatesQuestions(
  query: CertificateQuery,
  index: IntentIndex,
): readonly Question[] {
  const { spiffeId, spkiHash, provisioner, validAt, limit = 100 } = query;
  const criteria: [string, SQLInputValue | undefined][] = [
    ['i.spiffe_id = ?', spiffeId],
    ['i.spki_hash = ?', spkiHash],
    ['i.provisioner = ?', provisioner],
    ['i.not_after > ?', validAt],
  ];
  const given = criteria.filter(([, value]) => value !== undefined);
  const where = given.map(([clause]) => ` AND ${clause}`).join('');
  const values = [...given.map(([, value]) => value ?? null), limit];
  const rest = 'ORDER BY c.position DESC LIMIT ?';
  const columns = 'i.*, c.position AS issued_position, c.at AS issued_at, c.der';
  const select = (from: From): Question => ({
    text: `${from.before ?? ''} SELECT ${columns} FROM ${from.tables}
      CROSS JOIN certificates AS c ON c.intent = i.position WHERE ${from.where}${where} ${rest}`,
    values: [...from.values, ...values],
  });
  const archived = `${selectArchivedCertificates} WHERE TRUE${where} ${rest}`;
  const named = spkiHash ?? spiffeId;
  const by = spkiHash === undefined ? 'spiffe-id' : 'key';
  const alive =
    named === undefined
      ? [{ text: `${selectCertificates} WHERE TRUE${where} ${rest}`, values }]
      : fromIndexed(by, named, index).map(select);
  return [...alive, ...(spkiHash === undefined ? [] : [{ text: archived, values }])];
}

/** Intents as `i`. */
interface From {
  readonly before?: string;
  readonly tables: string;
  readonly where: string;
  readonly values: readonly SQLInputValue[];
}

const indexes = {
  'spiffe-id': { table: 'intents_by_name', column: 'spiffe_id', of: '?' },
  key: { table: 'intents_by_key', column: 'key', of: keyOf('?') },
} as const;

/** Intents that have a name or a key: those of the index, era by era, and those that are in none yet. */
function fromIndexed(by: keyof typeof indexes, value: string, index: IntentIndex): readonly From[] {
  const { table, column, of } = indexes[by];
  const whole = `i.${columnFor[by]} = ?`;
  const indexed: From = {
    before: `WITH RECURSIVE eras (era) AS (
      SELECT (SELECT min(era) FROM ${table})
      UNION ALL SELECT era + 1 FROM eras WHERE era < (SELECT max(era) FROM ${table})
    )`,
    tables: `eras CROSS JOIN ${table} AS x ON x.era = eras.era AND x.${column} = ${of}
      CROSS JOIN intents AS i ON i.position = x.position`,
    where: whole,
    values: [value, value],
  };
  if (by === 'key' && !index.mayBeRecent(value)) return [indexed];
  const where = `i.position > ? AND ${whole}`;
  return [indexed, { tables: 'intents AS i NOT INDEXED', where, values: [index.upTo, value] }];
}

function ofProofKey(value: string): From {
  return { tables: 'intents AS i', where: 'i.proof_key = ?', values: [value] };
}
