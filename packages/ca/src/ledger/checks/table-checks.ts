/** Columns of a row that shows a contradiction, as text. */
export interface CheckRow {
  readonly place: string;
  readonly said: string | null;
  readonly found: string | null;
}

/** What must hold between tables. `:above`, `:upTo` (positions) and `:at` (now) stand for values. */
export interface TableCheck {
  /** Rows of {@link CheckRow} that break it; `t` gives the name of a table. */
  readonly text: (t: (table: string) => string) => string;
  readonly finding: (row: CheckRow) => string;
}

/** So many positions are looked at in one go: a page, as elsewhere. */
export const positionsAtOnce = 1000;
export const mostFindings = 20;

/** Whatever stands in a column that is no record's, of the records at some positions. */
export const checksOfPositions: readonly TableCheck[] = ['', 'archived_'].flatMap((its) => [
  // A token is spent by the intent that redeemed it, and by no other.
  {
    text: (t) => `SELECT CAST(k.position AS TEXT) AS place, k.id AS said,
        CAST(k.spent_by AS TEXT) AS found
      FROM ${t(`${its}tokens`)} AS k
      LEFT JOIN ${t('intents')} AS i ON i.position = k.spent_by
      LEFT JOIN ${t('archived_intents')} AS j ON j.position = k.spent_by
      WHERE ${within('k.position')} AND k.spent_by IS NOT NULL
        AND NOT (COALESCE(i.grant_kind, j.grant_kind, '') = 'token'
          AND COALESCE(i.granted_by, j.granted_by, '') = k.id)`,
    finding: ({ place, said, found }) =>
      `token "${said}" at ${place}: changed: it is spent by ${found}, which did not redeem it`,
  },
  {
    text: (t) => `SELECT CAST(i.position AS TEXT) AS place, i.granted_by AS said,
        CAST(k.spent_by AS TEXT) AS found
      FROM ${t(`${its}intents`)} AS i
      LEFT JOIN ${t('tokens')} AS k ON k.id = i.granted_by
      LEFT JOIN ${t('archived_tokens')} AS j ON j.spent_by = i.position
      WHERE ${within('i.position')} AND i.grant_kind = 'token'
        AND NOT (CASE WHEN k.position IS NULL THEN COALESCE(j.id, '') = i.granted_by
          ELSE COALESCE(k.spent_by, 0) = i.position END)`,
    finding: ({ place, said, found }) => {
      const sides = found === null ? 'it is not spent' : `it is spent by ${found}`;
      return `token "${said}": changed: ${sides}, the intent at ${place} redeemed it`;
    },
  },

  // What became of an intent is about one that is there.
  ...['certificates', 'abandoned'].map(
    (table): TableCheck => ({
      text: (t) => `SELECT CAST(c.position AS TEXT) AS place, CAST(c.intent AS TEXT) AS said,
          NULL AS found
        FROM ${t(its + table)} AS c LEFT JOIN ${t(`${its}intents`)} AS i ON i.position = c.intent
        WHERE ${within('c.position')} AND i.position IS NULL`,
      finding: ({ place, said }) =>
        `row of "${its}${table}" at ${place}: slipped in: no intent stands at ${said}`,
    }),
  ),
]);

/** Nothing that is alive, and nothing that stays for good, is in the archive, where few look. */
export const checksOfArchive: readonly TableCheck[] = [
  {
    text: (t) => `SELECT CAST(i.position AS TEXT) AS place, i.serial AS said, NULL AS found
      FROM ${t('archived_intents')} AS i
      WHERE ${within('i.position')} AND i.not_after >= :at`,
    finding: ({ place, said }) =>
      `ledger record ${place} (intent of "${said}"): archived, its certificate has not ended`,
  },
  {
    text: (t) => `SELECT CAST(i.position AS TEXT) AS place, i.serial AS said,
        CAST(i.revocation AS TEXT) AS found
      FROM ${t('archived_intents')} AS i
      LEFT JOIN ${t('revocations')} AS r ON r.position = i.revocation
      LEFT JOIN ${t('archived_revocations')} AS s ON s.position = i.revocation
      WHERE ${within('i.position')} AND i.revocation IS NOT NULL
        AND r.position IS NULL AND s.position IS NULL`,
    finding: ({ place, said, found }) =>
      `ledger record ${place} (intent of "${said}"): archived as revoked at ${found}, where no revocation stands`,
  },
  {
    text: (t) => `SELECT CAST(k.position AS TEXT) AS place, k.id AS said, NULL AS found
      FROM ${t('archived_tokens')} AS k
      WHERE ${within('k.position')} AND k.expires_at >= :at`,
    finding: ({ place, said }) =>
      `ledger record ${place} (token "${said}"): archived, it has not expired`,
  },
  {
    text: (t) => `SELECT CAST(r.position AS TEXT) AS place, r.by_what AS said, r.value AS found
      FROM ${t('archived_revocations')} AS r
      WHERE ${within('r.position')} AND (r.by_what <> 'serial' OR r.block = 1)`,
    finding: ({ place, said, found }) =>
      `ledger record ${place} (revocation): archived, those of ${said} "${found}" stay`,
  },
];

const records = ['intents', 'certificates', 'abandoned', 'tokens', 'revocations'];

/** Rows at no position of the ledger, and what is counted: looked at once, and not by positions. */
export const checksOfWhole: readonly TableCheck[] = [
  ...['', 'archived_'].flatMap((its) =>
    records.map(
      (table): TableCheck => ({
        text: (t) => `SELECT CAST(position AS TEXT) AS place,
            (SELECT CAST(position AS TEXT) FROM ${t('head')}) AS said, NULL AS found
          FROM ${t(its + table)}
          WHERE position < 1 OR position > (SELECT position FROM ${t('head')})
          ORDER BY position`,
        finding: ({ place, said }) =>
          `row of "${its}${table}" at ${place}: slipped in: positions go from 1 to ${said}`,
      }),
    ),
  ),
  {
    text: (t) => `SELECT CAST(seq AS TEXT) AS place,
        (SELECT CAST(audit AS TEXT) FROM ${t('head')}) AS said, NULL AS found
      FROM ${t('audit')} WHERE seq < 1 OR seq > (SELECT audit FROM ${t('head')}) ORDER BY seq`,
    finding: ({ place, said }) =>
      `audit row ${place}: slipped in: the ledger's head says that they go from 1 to ${said}`,
  },
  {
    text: (t) => `SELECT path AS place, CAST(position AS TEXT) AS said,
        (SELECT CAST(revocation AS TEXT) FROM ${t('head')}) AS found
      FROM ${t('list_numbers')} WHERE position > (SELECT revocation FROM ${t('head')})`,
    finding: ({ place, said, found }) =>
      `number of the list "${place}": changed: it knows of revocation ${said}, the newest is ${found}`,
  },
  ...(
    [
      ['certificates', 'archived_intents'],
      ['tokens', 'archived_tokens'],
      ['revocations', 'archived_revocations'],
    ] as const
  ).map(
    ([counter, table]): TableCheck => ({
      text: (t) => `SELECT '${counter}' AS place, CAST(${counter} AS TEXT) AS said,
          (SELECT CAST(COUNT(*) AS TEXT) FROM ${t(table)}) AS found
        FROM ${t('retention')} WHERE ${counter} <> (SELECT COUNT(*) FROM ${t(table)})`,
      finding: ({ place, said, found }) =>
        `count of archived ${place}: changed: it says ${said}, there are ${found}`,
    }),
  ),
];

/** SQLite: an intent says itself how it ended. */
export const checksOfOutcome: readonly TableCheck[] = ['', 'archived_'].map((its) => ({
  text: (t) => `SELECT CAST(i.position AS TEXT) AS place, i.outcome AS said, ${outcome} AS found
    FROM ${t(`${its}intents`)} AS i
    LEFT JOIN ${t(`${its}certificates`)} AS c ON c.intent = i.position
    LEFT JOIN ${t(`${its}abandoned`)} AS a ON a.intent = i.position
    WHERE ${within('i.position')} AND i.outcome IS NOT ${outcome}`,
  finding: unlikeOutcome,
}));

/** PostgreSQL: those that are open are listed apart. */
export const checksOfOpen: readonly TableCheck[] = ['', 'archived_'].map((its) => ({
  text: (t) => `SELECT CAST(i.position AS TEXT) AS place,
      CASE WHEN o.position IS NULL THEN 'ended' END AS said, ${outcome} AS found
    FROM ${t(`${its}intents`)} AS i
    LEFT JOIN ${t(`${its}certificates`)} AS c ON c.intent = i.position
    LEFT JOIN ${t(`${its}abandoned`)} AS a ON a.intent = i.position
    LEFT JOIN ${t('open_intents')} AS o ON o.position = i.position
    WHERE ${within('i.position')}
      AND (o.position IS NULL) <> (c.intent IS NOT NULL OR a.intent IS NOT NULL)`,
  finding: unlikeOutcome,
}));

const outcome = `CASE WHEN c.intent IS NOT NULL THEN 'issued'
  WHEN a.intent IS NOT NULL THEN 'abandoned' END`;

function unlikeOutcome({ place, said, found }: CheckRow): string {
  const sides = `it is "${said ?? 'open'}", the records say "${found ?? 'open'}"`;
  return `outcome of the intent at ${place}: changed: ${sides}`;
}

function within(position: string): string {
  return `${position} > :above AND ${position} <= :upTo`;
}

export type CheckValues = Readonly<Record<'above' | 'upTo' | 'at', number>>;

/** The text of a check with its values in the order of their places. */
export function boundCheck(
  check: TableCheck,
  t: (table: string) => string,
  values: CheckValues,
  placeholder: (index: number) => string,
): { readonly text: string; readonly values: number[] } {
  const bound: number[] = [];
  const text = check.text(t).replaceAll(/:(above|upTo|at)\b/g, (_, name: keyof CheckValues) => {
    bound.push(values[name]);
    return placeholder(bound.length);
  });
  return { text: `${text} LIMIT ${mostFindings}`, values: bound };
}
