import type { SQLInputValue } from 'node:sqlite';
import { coveredClause } from './covered-clause.ts';
import type { CertificateQuery, RevocationBy } from './ledger.ts';
import { columnFor, selectArchivedCertificates } from './ledger-rows.ts';
import type { CoveredRange } from './ledger-store.ts';

/*
 * Questions by SPIFFE ID and by key. Their indexes begin with the era of an intent, its position without the last 17
 * bits: names and keys come in any order, so in one index over everything each order would touch a page of its own, and
 * cost more the more there are. Within an era the index is small, and orders touch that of today alone. Who asks by name
 * or key looks into each era in turn.
 */
const eraOf = 'position >> 17';

const eras = `WITH RECURSIVE eras (era) AS (
    SELECT (SELECT min(position) FROM intents) >> 17
    UNION ALL SELECT era + 1 FROM eras WHERE era < (SELECT max(position) FROM intents) >> 17
  )`;

const byEra: ReadonlySet<RevocationBy> = new Set(['spiffe-id', 'key']);

/** How many intents are not abandoned and end after a moment, up to one position and above another: the sum of the answers. */
export function countCoveredQuestions(
  by: Exclude<RevocationBy, 'serial'>,
  value: string,
  between: readonly SQLInputValue[],
): readonly Question[] {
  const { clause, values } = coveredClause(by, value);
  if (by !== 'key') {
    return [{ text: countCoveredText(by, clause), values: [...values, ...between] }];
  }
  // An index each: no certificate is of a key and vouched for by it.
  return (['key', 'proof-key'] as const).map((each) => ({
    text: countCoveredText(each, `${columnFor[each]} = ?`),
    values: [value, ...between],
  }));
}

function countCoveredText(by: RevocationBy | 'proof-key', clause: string): string {
  const what = `${clause} AND not_after > ? AND outcome IS NOT 'abandoned'
    AND position > ? AND position <= ?`;
  if (by === 'proof-key') return `SELECT count(*) AS matched FROM intents WHERE ${what}`;
  // By position and by no index: those of a provisioner would be gone through for each page.
  if (!byEra.has(by)) return `SELECT count(*) AS matched FROM intents NOT INDEXED WHERE ${what}`;
  return `${eras} SELECT count(*) AS matched FROM eras CROSS JOIN intents ON ${eraOf} = era AND ${what}`;
}

/** Intents of a value, between two positions, and a limit. */
export function coveredIntentsText(by: CoveredRange['by']): string {
  const between = 'position > ? AND position < ? ORDER BY position LIMIT ?';
  if (by === 'proof-key') return `SELECT * FROM intents WHERE proof_key = ? AND ${between}`;
  // By position and by no index (so says the sign), where the range is bounded and most of it is wanted.
  if (!byEra.has(by)) return `SELECT * FROM intents WHERE +${columnFor[by]} = ? AND ${between}`;
  return `${eras} SELECT intents.* FROM eras CROSS JOIN intents
    ON ${eraOf} = era AND ${columnFor[by]} = ? WHERE ${between}`;
}

interface Question {
  readonly text: string;
  readonly values: readonly SQLInputValue[];
}

/** Certificates that are not archived; where a key is asked for, also those that are. Newest first. */
export function findCertificatesQuestions(query: CertificateQuery): readonly Question[] {
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
  const isNamed = spiffeId !== undefined || spkiHash !== undefined;
  const from = isNamed
    ? `${eras} SELECT ${columns} FROM eras CROSS JOIN intents AS i ON i.${eraOf} = era${where}
       CROSS JOIN certificates AS c ON c.intent = i.position`
    : `SELECT ${columns} FROM certificates AS c JOIN intents AS i ON i.position = c.intent
       WHERE TRUE${where}`;
  const archived = `${selectArchivedCertificates} WHERE TRUE${where} ${rest}`;
  return [
    { text: `${from} ${rest}`, values },
    ...(spkiHash === undefined ? [] : [{ text: archived, values }]),
  ];
}
