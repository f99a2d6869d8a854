import { hashBytes } from '../audit-trail.ts';
import { edgeWritesFor } from '../edge/postgres-edge.ts';
import { archiveWrites } from '../retention/postgres-archive.ts';
import type { Delta } from './loaded-store.ts';
import type { Statement } from './statement.ts';

/**
 * The statements that write what a run wants written, in an order that works for any database which checks each by
 * itself. One statement a table, rows as columns of arrays: its text is always the same.
 */
export function writesFor(delta: Delta, schema: string, writer: string): Statement[] {
  const { forget } = delta;
  const leases = [...delta.leases];
  return [
    ...insertIntents(delta, schema, writer),
    ...insertOutcomes(delta, schema),
    ...writeTokens(delta, schema),
    ...insertRevocations(delta, schema),
    ...(forget === undefined ? [] : forgetEdges(forget, schema)),
    ...putLeases(
      leases.flatMap(([, lease]) => (lease === undefined ? [] : [lease])),
      schema,
    ),
    ...deleteLeases(
      leases.flatMap(([instance, lease]) => (lease === undefined ? [instance] : [])),
      schema,
    ),
    ...insertAcknowledgements(delta, schema),
    ...writeDocuments(delta, schema),
    ...writeHolders(delta, schema),
    ...putLists(delta, schema),
    ...edgeWritesFor(delta.edge, schema),
    ...archiveWrites(delta.archive, schema),
    ...insertAudit(delta, schema),
  ];
}

/** Moves the head, and notes which of the writer's batches this was: so that a lost answer to COMMIT can be looked up. */
export function headWrites(
  { head }: Delta,
  schema: string,
  writer: { readonly id: string; readonly batch: number },
): Statement[] {
  return [
    {
      name: 'move-head',
      text: `UPDATE ${schema}.head SET position = $1, revocation = $2, intents = $3, issued = $4,
        abandoned = $5, revocations = $6, tokens = $7, audit = $8, audit_hash = $9 WHERE id = 1`,
      values: [
        head.position,
        head.revocation,
        head.intents,
        head.issued,
        head.abandoned,
        head.revocations,
        head.tokens,
        head.audit,
        hashBytes(head.auditHash),
      ],
    },
    noteWriter(schema, writer),
  ];
}

export function noteWriter(
  schema: string,
  { id, batch }: { readonly id: string; readonly batch: number },
): Statement {
  return {
    name: 'note-writer',
    text: `INSERT INTO ${schema}.writers (id, batch, seen_at) VALUES ($1, $2, clock_timestamp())
      ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, seen_at = excluded.seen_at`,
    values: [id, batch],
  };
}

type Column<T> = readonly [
  type: 'bigint' | 'text' | 'bytea' | 'float8',
  value: (row: T) => unknown,
];

function insert<T>(
  name: string,
  into: string,
  found: readonly T[],
  columns: readonly Column<T>[],
  after = '',
): Statement[] {
  if (found.length === 0) return [];
  const arrays = columns.map(([type], i) => `$${i + 1}::${type}[]`).join(', ');
  return [
    {
      name,
      text: `INSERT INTO ${into} SELECT * FROM unnest(${arrays})${after}`,
      values: columns.map(([, value]) => found.map(value)),
    },
  ];
}

function insertIntents({ intents }: Delta, s: string, writer: string): Statement[] {
  const found = [...intents.values()];
  return [
    ...insert('insert-intents', `${s}.intents`, found, [
      ['bigint', (one) => one.position],
      ['bigint', (one) => one.at],
      ['text', (one) => one.serialHex],
      ['text', (one) => one.spiffeId ?? null],
      ['text', (one) => JSON.stringify(one.names)],
      ['text', (one) => one.spkiHash],
      ['text', (one) => one.provisioner],
      ['text', (one) => one.grant],
      ['text', (one) => one.grantedBy ?? null],
      ['text', (one) => one.issuer],
      ['bigint', (one) => one.notAfter],
      ['text', (one) => one.profile ?? null],
      ['text', (one) => one.proofKey ?? null],
    ]),
    ...insert('insert-open', `${s}.open_intents`, found, [
      ['bigint', (one) => one.position],
      ['text', () => writer],
    ]),
  ];
}

function insertOutcomes({ issued, abandoned }: Delta, s: string): Statement[] {
  const ended = [...issued.keys(), ...abandoned.keys()];
  return [
    ...insert(
      'insert-certificates',
      `${s}.certificates`,
      [...issued.values()],
      [
        ['bigint', (one) => one.intent],
        ['bigint', (one) => one.position],
        ['bigint', (one) => one.at],
        ['bytea', (one) => Buffer.from(one.der.buffer, one.der.byteOffset, one.der.byteLength)],
      ],
    ),
    ...insert(
      'insert-abandoned',
      `${s}.abandoned`,
      [...abandoned.values()],
      [
        ['bigint', (one) => one.intent],
        ['bigint', (one) => one.position],
        ['bigint', (one) => one.at],
        ['text', (one) => one.reason],
      ],
    ),
    ...(ended.length === 0
      ? []
      : [
          {
            name: 'end-intents',
            text: `DELETE FROM ${s}.open_intents WHERE position = ANY($1::bigint[])`,
            values: [ended],
          },
        ]),
  ];
}

function writeTokens({ tokens, spent }: Delta, s: string): Statement[] {
  return [
    ...insert(
      'insert-tokens',
      `${s}.tokens`,
      [...tokens.values()],
      [
        ['bigint', (one) => one.position],
        ['bigint', (one) => one.at],
        ['text', (one) => one.id],
        ['text', (one) => one.secretHash],
        ['text', (one) => one.spiffeId ?? null],
        ['text', (one) => JSON.stringify(one.names)],
        ['text', (one) => one.provisioner],
        ['bigint', (one) => one.ttlMs ?? null],
        ['bigint', (one) => one.expiresAt],
        ['bigint', (one) => one.spentBy ?? null],
      ],
    ),
    ...(spent.size === 0
      ? []
      : [
          {
            name: 'spend-tokens',
            text: `UPDATE ${s}.tokens AS t SET spent_by = v.intent
              FROM unnest($1::text[], $2::bigint[]) AS v (id, intent)
              WHERE t.id = v.id AND t.spent_by IS NULL`,
            values: [[...spent.keys()], [...spent.values()]],
          },
        ]),
  ];
}

function insertRevocations({ revocations }: Delta, s: string): Statement[] {
  return insert('insert-revocations', `${s}.revocations`, revocations, [
    ['bigint', (one) => one.position],
    ['bigint', (one) => one.previous],
    ['bigint', (one) => one.at],
    ['text', (one) => one.by],
    ['text', (one) => one.value],
    ['text', (one) => one.reason],
    ['bigint', (one) => (one.block ? 1 : 0)],
    ['text', (one) => one.orderedBy],
  ]);
}

function forgetEdges(forget: NonNullable<Delta['forget']>, s: string): Statement[] {
  return [
    {
      name: 'forget-leases',
      text: `DELETE FROM ${s}.leases WHERE expires_at <= $1`,
      values: [forget.at],
    },
    {
      name: 'forget-acks',
      text: `DELETE FROM ${s}.acks WHERE at < $1`,
      values: [forget.acknowledgedBefore],
    },
  ];
}

function putLeases(found: readonly NonNullable<LeaseOf>[], s: string): Statement[] {
  return insert(
    'put-leases',
    `${s}.leases`,
    found,
    [
      ['text', (one) => one.instance],
      ['text', (one) => one.spiffeId],
      ['bigint', (one) => one.maxSilenceMs],
      ['bigint', (one) => one.lastSeen],
      ['bigint', (one) => one.expiresAt],
      ['bigint', (one) => one.position],
      ['bigint', (one) => one.closed],
    ],
    ` ON CONFLICT (instance) DO UPDATE SET spiffe_id = excluded.spiffe_id,
      max_silence_ms = excluded.max_silence_ms, last_seen = excluded.last_seen,
      expires_at = excluded.expires_at, position = excluded.position, closed = excluded.closed`,
  );
}

type LeaseOf = Delta['leases'] extends Map<string, infer L> ? L : never;

function deleteLeases(instances: readonly string[], s: string): Statement[] {
  if (instances.length === 0) return [];
  return [
    {
      name: 'delete-leases',
      text: `DELETE FROM ${s}.leases WHERE instance = ANY($1::text[])`,
      values: [instances],
    },
  ];
}

function insertAcknowledgements({ acknowledgements }: Delta, s: string): Statement[] {
  return insert(
    'insert-acks',
    `${s}.acks`,
    acknowledgements,
    [
      ['text', (one) => one.instance],
      ['bigint', (one) => one.position],
      ['text', (one) => one.spiffeId],
      ['bigint', (one) => one.at],
      ['bigint', (one) => one.closed],
      ['bigint', (one) => one.kept],
      ['float8', (one) => one.elapsedMs],
    ],
    ' ON CONFLICT (instance, position) DO NOTHING',
  );
}

function writeDocuments({ documents }: Delta, s: string): Statement[] {
  return insert(
    'put-documents',
    `${s}.documents`,
    [...documents.values()],
    [
      ['text', (one) => one.name],
      ['bigint', (one) => one.version],
      ['text', (one) => one.body],
    ],
    ' ON CONFLICT (name) DO UPDATE SET version = excluded.version, body = excluded.body',
  );
}

function writeHolders({ holders, forgetHolders }: Delta, s: string): Statement[] {
  const forget = { name: 'forget-holders', text: `DELETE FROM ${s}.bundle_holders`, values: [] };
  return [
    ...(forgetHolders ? [forget] : []),
    ...insert(
      'put-holders',
      `${s}.bundle_holders`,
      [...holders.values()],
      [
        ['bigint', (one) => one.intent],
        ['text', (one) => one.instance],
        ['text', (one) => one.digest],
        ['bigint', (one) => one.at],
      ],
      ' ON CONFLICT (intent, instance) DO UPDATE SET digest = excluded.digest, at = excluded.at',
    ),
  ];
}

function putLists({ lists }: Delta, s: string): Statement[] {
  return insert(
    'put-list-numbers',
    `${s}.list_numbers`,
    [...lists],
    [
      ['text', ([path]) => path],
      ['text', ([, { number }]) => number],
      ['bigint', ([, { position }]) => position],
    ],
    ' ON CONFLICT (path) DO UPDATE SET number = excluded.number, position = excluded.position',
  );
}

function insertAudit({ audit }: Delta, s: string): Statement[] {
  return insert('insert-audit', `${s}.audit`, audit, [
    ['bigint', (one) => one.seq],
    ['bigint', (one) => one.position ?? null],
    ['bytea', (one) => (one.record === undefined ? null : Buffer.from(one.record, 'hex'))],
    ['text', (one) => one.said],
    ['bytea', (one) => Buffer.from(one.hash, 'hex')],
  ]);
}
