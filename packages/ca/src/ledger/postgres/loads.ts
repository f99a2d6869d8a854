import { hash } from 'node:crypto';
import { checkLoads } from '../checks/postgres-checks.ts';
import { coveredClause } from '../covered-clause.ts';
import { carriedProvisioner } from '../covers.ts';
import { markOfRow } from '../document-mark.ts';
import { edgeLoads } from '../edge/postgres-edge.ts';
import type { CertificateQuery } from '../ledger.ts';
import type { Row } from '../ledger-rows.ts';
import * as rows from '../ledger-rows.ts';
import { archiveLoads } from '../retention/postgres-archive.ts';
import { isHold, isRelease } from '../revocation-order.ts';
import {
  type Answers,
  keyOf,
  type Question,
  type QuestionName,
  type Questions,
} from './question.ts';
import type { Statement } from './statement.ts';

/** A statement that answers questions: `read` puts its rows among the answers. */
export interface Load extends Statement {
  read(found: readonly Row[], answers: Answers): void;
}

/** The statements that answer these questions: one for all of a kind where that can be. */
export function loadsFor(questions: Iterable<Question>, schema: string): Load[] {
  const byName = Map.groupBy(questions, (question) => question.name);
  return [...byName].flatMap(([name, alike]) => {
    const load = loads[name] as LoadsOf<QuestionName>;
    const asked = alike.map((question) => question.with) as never;
    return load(asked, schema);
  });
}

type LoadsOf<N extends QuestionName> = (
  asked: readonly Questions[N]['with'][],
  schema: string,
) => Load[];

const loads: { readonly [N in QuestionName]: LoadsOf<N> } = {
  token: (asked, s) => [
    {
      name: 'token',
      text: `SELECT * FROM ${s}.tokens WHERE id = ANY($1::text[])`,
      values: [asked.map(([id]) => id)],
      read: each('token', asked, ([id], row) => row.id === id, rows.tokenOf),
    },
  ],

  intent: (asked, s) => [
    {
      name: 'intent',
      text: ['', 'archived_']
        .map(
          (its) => `SELECT i.position, i.at, i.serial, i.spiffe_id, i.names, i.spki_hash,
            i.provisioner, i.grant_kind, i.granted_by, i.issuer, i.not_after, i.profile,
            i.proof_key,
            CASE WHEN c.intent IS NOT NULL THEN 'issued'
                 WHEN a.intent IS NOT NULL THEN 'abandoned' END AS outcome
          FROM ${s}.${its}intents AS i
          LEFT JOIN ${s}.${its}certificates AS c ON c.intent = i.position
          LEFT JOIN ${s}.${its}abandoned AS a ON a.intent = i.position
          WHERE i.position = ANY($1::bigint[])`,
        )
        .join(' UNION ALL '),
      values: [asked.map(([position]) => position)],
      read: each(
        'intent',
        asked,
        ([position], row) => row.position === position,
        (row) => ({
          record: rows.intentOf(row),
          outcome: (row.outcome ?? undefined) as 'issued' | 'abandoned' | undefined,
        }),
      ),
    },
  ],

  revocations: (asked, s) => [
    {
      name: 'revocations',
      text: `SELECT r.* FROM unnest($1::text[], $2::text[]) AS k (by_what, value)
        CROSS JOIN LATERAL (
          (SELECT * FROM ${s}.revocations
            WHERE value = k.value AND by_what = k.by_what ORDER BY position DESC LIMIT 1)
          UNION
          (SELECT * FROM ${s}.revocations
            WHERE value = k.value AND by_what = k.by_what AND block = 1
            ORDER BY position DESC LIMIT 1)
          UNION
          (SELECT * FROM ${s}.revocations
            WHERE value = k.value AND by_what = k.by_what AND ${rows.isFinal}
            ORDER BY position DESC LIMIT 1)
        ) AS r`,
      values: [asked.map(([by]) => by), asked.map(([, value]) => value)],
      read(found, answers) {
        const named = found.map(rows.revocationOf).sort((a, b) => b.position - a.position);
        for (const [by, value] of asked) {
          const mine = named.filter((each) => each.by === by && each.value === value);
          const blocking = mine.find((each) => each.block);
          const final = mine.find(({ reason }) => !isHold(reason) && !isRelease(reason));
          answers.set(keyOf('revocations', [by, value]), { latest: mine[0], blocking, final });
        }
      },
    },
  ],

  wideRevocations: (_asked, s) => [
    {
      name: 'wide-revocations',
      text: `SELECT * FROM ${s}.revocations WHERE ${rows.isWide} ORDER BY position`,
      values: [],
      read: one('wideRevocations', [], (found) => found.map(rows.revocationOf)),
    },
  ],

  covered: (asked, s) =>
    asked.map(([by, value, at, above, upTo]) => {
      const { clause, values } = coveredClause(by, value);
      let last = 3;
      const numbered = clause.replaceAll('?', () => `$${++last}`);
      return {
        // Its text differs between values of one kind.
        name: `covered-${hash('sha256', clause, 'base64url').slice(0, 12)}`,
        text: `SELECT count(*) AS matched FROM ${s}.intents AS i
          WHERE not_after > $1 AND i.position > $2 AND i.position <= $3 AND ${numbered}
            AND NOT EXISTS (SELECT 1 FROM ${s}.abandoned AS a WHERE a.intent = i.position)`,
        values: [at, above, upTo, ...values],
        read: one('covered', [by, value, at, above, upTo], ([row]) => Number(row?.matched ?? 0)),
      };
    }),

  intentsBetween: (asked, s) =>
    asked.map(([above, below, limit]) => ({
      name: 'intents-between',
      text: `SELECT * FROM ${s}.intents
        WHERE position > $1 AND position < $2 ORDER BY position LIMIT $3`,
      values: [above, below, limit],
      read: one('intentsBetween', [above, below, limit], (found) => found.map(rows.intentOf)),
    })),

  coveredIntents: (asked, s) =>
    asked.map(([covered, limit]) => ({
      name: `covered-intents-${covered.by}`,
      text: `SELECT * FROM ${s}.intents
        WHERE ${rows.columnFor[covered.by]} = $1 AND position > $2 AND position < $3
        ORDER BY position LIMIT $4`,
      values: [covered.value, covered.above, covered.below, limit],
      read: one('coveredIntents', [covered, limit], (found) => found.map(rows.intentOf)),
    })),

  lease: (asked, s) => [
    {
      name: 'lease',
      text: `SELECT * FROM ${s}.leases WHERE instance = ANY($1::text[])`,
      values: [asked.map(([instance]) => instance)],
      read: each('lease', asked, ([instance], row) => row.instance === instance, rows.leaseOf),
    },
  ],

  liveLeases: (asked, s) =>
    asked.map(([at]) => ({
      name: 'live-leases',
      text: `SELECT * FROM ${s}.leases WHERE expires_at > $1 ORDER BY instance`,
      values: [at],
      read: one('liveLeases', [at], (found) => found.map(rows.leaseOf)),
    })),

  acknowledgements: (asked, s) =>
    asked.map(([position]) => ({
      name: 'acknowledgements',
      text: `SELECT DISTINCT ON (instance) * FROM ${s}.acks
        WHERE position >= $1 ORDER BY instance, position`,
      values: [position],
      read: one('acknowledgements', [position], (found) => found.map(rows.acknowledgementOf)),
    })),

  document: (asked, s) => [
    {
      // In one statement, so that document and mark are of one moment.
      name: 'document',
      text: `SELECT k.name, d.version, d.body,
          (SELECT said FROM ${s}.audit WHERE ${isMark} AND ${markName} = k.name
            ORDER BY seq DESC LIMIT 1) AS said
        FROM unnest($1::text[]) AS k (name) LEFT JOIN ${s}.documents AS d ON d.name = k.name`,
      values: [asked.map(([name]) => name)],
      read: each(
        'document',
        asked,
        ([name], row) => row.name === name,
        (row) => ({
          document: row.version === null ? undefined : rows.documentOf(row),
          mark: row.said === null ? undefined : markOfRow({ said: String(row.said) }),
        }),
      ),
    },
  ],

  documentNames: (_asked, s) => [
    {
      name: 'document-names',
      text: `SELECT name FROM ${s}.documents UNION
        SELECT ${markName} AS name FROM ${s}.audit WHERE ${isMark} ORDER BY name`,
      values: [],
      read: one('documentNames', [], (found) => found.map(({ name }) => String(name))),
    },
  ],

  leaseHolders: (_asked, s) => [
    {
      name: 'lease-holders',
      text: `SELECT * FROM ${s}.bundle_holders WHERE instance <> ''`,
      values: [],
      read: one('leaseHolders', [], (found) => found.map(rows.holderOf)),
    },
  ],

  openTokens: (asked, s) =>
    asked.map(([after, at, limit]) => ({
      name: 'open-tokens',
      text: `SELECT * FROM ${s}.tokens WHERE position > $1 AND spent_by IS NULL
        AND expires_at > $2 ORDER BY position LIMIT $3`,
      values: [after, at, limit],
      read: one('openTokens', [after, at, limit], (found) => found.map(rows.tokenOf)),
    })),

  unexpired: (asked, s) =>
    asked.map(([after, at, limit]) => ({
      name: 'unexpired',
      text: `SELECT i.*, h.digest, h.at AS heard_at FROM ${s}.intents AS i
        JOIN ${s}.certificates AS c ON c.intent = i.position
        LEFT JOIN ${s}.bundle_holders AS h ON h.intent = i.position AND h.instance = ''
        WHERE i.position > $1 AND i.not_after > $2 ORDER BY i.position LIMIT $3`,
      values: [after, at, limit],
      read: one('unexpired', [after, at, limit], (found) => found.map(rows.liveOf)),
    })),

  certificate: (asked, s) => [
    {
      name: 'certificate',
      text: ['', 'archived_']
        .map((its) => `${certificates(s, its)} WHERE c.intent = ANY($1::bigint[])`)
        .join(' UNION ALL '),
      values: [asked.map(([intent]) => intent)],
      read: each(
        'certificate',
        asked,
        ([intent], row) => row.position === intent,
        rows.certificateOf,
      ),
    },
  ],

  findCertificates: (asked, s) => asked.map(([query]) => findCertificates(query, s)),

  openIntents: (_asked, s) => [
    {
      name: 'open-intents',
      text: `SELECT i.* FROM ${s}.open_intents AS o
        JOIN ${s}.intents AS i ON i.position = o.position ORDER BY i.position`,
      values: [],
      read: one('openIntents', [], (found) => found.map(rows.intentOf)),
    },
  ],

  orphans: (_asked, s) => [
    {
      name: 'orphans',
      text: `SELECT i.* FROM ${s}.open_intents AS o
        JOIN ${s}.intents AS i ON i.position = o.position
        LEFT JOIN ${s}.writers AS w ON w.id = o.writer
        WHERE (w.id IS NULL OR w.seen_at < clock_timestamp() - interval '${writerSilenceSeconds} seconds')
          AND i.provisioner <> '${carriedProvisioner}'
        ORDER BY i.position`,
      values: [],
      read: one('orphans', [], (found) => found.map(rows.intentOf)),
    },
  ],

  revocationsAfter: (asked, s) =>
    asked.map(([position, limit]) => ({
      name: 'revocations-after',
      text: `SELECT * FROM ${s}.revocations WHERE position > $1 ORDER BY position LIMIT $2`,
      values: [position, limit],
      read: one('revocationsAfter', [position, limit], (found) => found.map(rows.revocationOf)),
    })),

  recordsAfter: (asked, s) =>
    asked.map(([position, limit]) => ({
      name: 'records-after',
      text: recordsAfter(s),
      values: [position, limit],
      read: one('recordsAfter', [position, limit], (found) => found.map(recordOf)),
    })),

  certificatesAfter: (asked, s) =>
    asked.map(([position, limit]) => ({
      name: 'certificates-after',
      text: certificatesAfter(s),
      values: [position, limit],
      read: one('certificatesAfter', [position, limit], (found) => found.map(rows.loggedOf)),
    })),

  auditAfter: (asked, s) =>
    asked.map(([seq, limit]) => ({
      name: 'audit-after',
      text: `SELECT * FROM ${s}.audit WHERE seq > $1 ORDER BY seq LIMIT $2`,
      values: [seq, limit],
      read: one('auditAfter', [seq, limit], (found) => found.map(rows.auditOf)),
    })),

  numberedList: (asked, s) => [
    {
      name: 'numbered-list',
      text: `SELECT * FROM ${s}.list_numbers WHERE path = ANY($1::text[])`,
      values: [asked.map(([path]) => path)],
      read: each('numberedList', asked, ([path], row) => row.path === path, rows.numberedListOf),
    },
  ],

  ...archiveLoads((name, asked) => keyOf(name, asked)),
  ...edgeLoads((name, asked) => keyOf(name, asked)),
  ...checkLoads((name, asked) => keyOf(name, asked)),

  status: (_asked, s) => [
    {
      name: 'status',
      text: `SELECT * FROM ${s}.head WHERE id = 1`,
      values: [],
      read: one('status', [], ([row]) => rows.statusOf(rows.headOf(row ?? {}))),
    },
  ],
};

/** As the index over them has it. */
const isMark = `strpos(said, '"document":') > 0`;
const markName = `(said::jsonb -> 'document' ->> 'name')`;

/** A process that was silent for so long is taken for dead: its intents are closed, and it cannot complete them any more. */
export const writerSilenceSeconds = 30;

/** Each question's own row, or that there is none. */
function each<N extends QuestionName>(
  name: N,
  asked: readonly Questions[N]['with'][],
  isMine: (asked: Questions[N]['with'], row: Row) => boolean,
  recordOf: (row: Row) => Questions[N]['answer'],
): Load['read'] {
  return function readEach(found, answers) {
    for (const one of asked) {
      const row = found.find((candidate) => isMine(one, candidate));
      answers.set(keyOf(name, one), row === undefined ? undefined : recordOf(row));
    }
  };
}

function one<N extends QuestionName>(
  name: N,
  asked: Questions[N]['with'],
  answerOf: (found: readonly Row[]) => Questions[N]['answer'],
): Load['read'] {
  return (found, answers) => answers.set(keyOf(name, asked), answerOf(found));
}

function certificates(s: string, its = ''): string {
  return `SELECT i.position, i.at, i.serial, i.spiffe_id, i.names, i.spki_hash, i.provisioner,
      i.grant_kind, i.granted_by, i.issuer, i.not_after, i.profile,
      i.proof_key, c.position AS issued_position, c.at AS issued_at, c.der
    FROM ${s}.${its}certificates AS c JOIN ${s}.${its}intents AS i ON i.position = c.intent`;
}

function findCertificates(query: CertificateQuery, s: string): Load {
  const { spiffeId, spkiHash, provisioner, validAt, limit = 100 } = query;
  const criteria = [
    { letter: 's', clause: 'i.spiffe_id =', value: spiffeId },
    { letter: 'k', clause: 'i.spki_hash =', value: spkiHash },
    { letter: 'p', clause: 'i.provisioner =', value: provisioner },
    { letter: 'v', clause: 'i.not_after >', value: validAt },
  ].filter(({ value }) => value !== undefined);
  const where = criteria.map(({ clause }, i) => ` AND ${clause} $${i + 2}`).join('');
  return {
    name: `find-${criteria.map(({ letter }) => letter).join('')}`,
    text: `SELECT * FROM (${(spkiHash === undefined ? [''] : ['', 'archived_'])
      .map(
        (its) => `(${certificates(s, its)} WHERE TRUE${where} ORDER BY c.position DESC LIMIT $1)`,
      )
      .join(' UNION ALL ')}) AS found ORDER BY issued_position DESC LIMIT $1`,
    values: [limit, ...criteria.map(({ value }) => value)],
    read: one('findCertificates', [query], (found) => found.map(rows.certificateOf)),
  };
}

/** In one statement: it sees one state of all tables, so no position that it passes over can come later. */
function recordsAfter(s: string): string {
  const from = (kind: string, body: string, der: string, table: string, position: string) =>
    `(SELECT ${position} AS position, '${kind}' AS kind, ${body} AS body, ${der} AS der
      FROM ${table} WHERE ${position} > $1 ORDER BY ${position} LIMIT $2)`;
  const noDer = 'NULL::bytea';
  const issued = `jsonb_build_object('intent', c.intent, 'at', c.at, 'serial', i.serial)`;
  const joined = (its: string) =>
    `${s}.${its}certificates AS c JOIN ${s}.${its}intents AS i ON i.position = c.intent`;
  return ['', 'archived_']
    .flatMap((its) => [
      from('intent', 'to_jsonb(t)', noDer, `${s}.${its}intents AS t`, 't.position'),
      from('token', 'to_jsonb(t)', noDer, `${s}.${its}tokens AS t`, 't.position'),
      from('revocation', 'to_jsonb(t)', noDer, `${s}.${its}revocations AS t`, 't.position'),
      from('abandoned', 'to_jsonb(t)', noDer, `${s}.${its}abandoned AS t`, 't.position'),
      from('issued', issued, 'c.der', joined(its), 'c.position'),
    ])
    .join(' UNION ALL ')
    .concat(' ORDER BY position LIMIT $2');
}

function certificatesAfter(s: string): string {
  const from = (table: string) =>
    `(SELECT position, der FROM ${s}.${table} WHERE position > $1 ORDER BY position LIMIT $2)`;
  const both = ['certificates', 'archived_certificates'].map(from).join(' UNION ALL ');
  return `${both} ORDER BY position LIMIT $2`;
}

const recordsByKind: Readonly<
  Record<
    string,
    (
      row: Row,
    ) =>
      | ReturnType<typeof rows.intentOf>
      | ReturnType<typeof rows.tokenOf>
      | ReturnType<typeof rows.revocationOf>
      | ReturnType<typeof rows.issuedOf>
      | ReturnType<typeof rows.abandonedOf>
  >
> = {
  intent: rows.intentOf,
  token: rows.tokenOf,
  revocation: rows.revocationOf,
  issued: rows.issuedOf,
  abandoned: rows.abandonedOf,
};

function recordOf(row: Row) {
  const read = recordsByKind[String(row.kind)];
  if (read === undefined) throw new TypeError(`a record of kind "${row.kind}"`);
  const { body, der, position } = row as Row & { readonly body: unknown };
  return read({ ...(body as Row), der: der ?? null, position: position ?? null });
}
