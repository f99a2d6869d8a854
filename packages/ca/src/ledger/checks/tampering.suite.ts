import assert from 'node:assert/strict';
import type { Ledger } from '../ledger.ts';

export const tamperingStart = Date.UTC(2026, 0, 1);
const hour = 3_600_000;
const day = 24 * hour;
const spiffeId = 'spiffe://example.com/ns/prod/sa/orders';

/** What somebody with access to the database does, in words of both databases unless it says so. */
export interface Tampering {
  readonly sql: string;
  readonly finds: RegExp;
  readonly only?: 'sqlite' | 'postgres';
}

/**
 * A ledger with something of everything, and what ended in the archive:
 *
 * - 1 token, 2 intent that redeemed it, 3 issued: archived
 * - 4 token that nobody redeemed
 * - 5 intent, 6 issued, 7 revocation of it
 * - 8 intent, 9 issued, 10 revocation of it: archived
 * - 11 revocation of a SPIFFE ID, for good
 * - 12 open intent
 * - 13 token, 14 intent that redeemed it, 15 issued
 * - 16 intent, 17 abandoned
 */
export async function somethingOfEverything(
  ledger: Ledger,
  pass: (ms: number) => void,
): Promise<void> {
  const createToken = (letter: string, expiresAt: number) =>
    ledger.createToken({
      id: letter.repeat(16),
      secretHash: letter.repeat(64),
      spiffeId: `${spiffeId}-${letter}`,
      names: [],
      provisioner: 'operator',
      expiresAt,
    });
  const order = async (notAfter: number, letter?: string) => {
    const intent = await ledger.intend({
      grant:
        letter === undefined
          ? { kind: 'operator' }
          : { kind: 'token', id: letter.repeat(16), secretHash: letter.repeat(64) },
      spiffeId: letter === undefined ? undefined : `${spiffeId}-${letter}`,
      names: [],
      spkiHash: '00'.repeat(32),
      provisioner: 'operator',
      issuer: 'services',
      notAfter,
    });
    assert.ok(intent.ok, JSON.stringify(intent));
    return intent;
  };
  const issue = async (notAfter: number, letter?: string) => {
    const { position: intent, serialHex } = await order(notAfter, letter);
    await ledger.issued({ intent, serialHex, der: new Uint8Array([1]) });
    return serialHex;
  };
  const revoke = (by: 'serial' | 'spiffe-id', value: string) =>
    ledger.revoke({
      by,
      value,
      reason: 'cessationOfOperation',
      block: by === 'spiffe-id',
      orderedBy: 'operator',
    });
  const change = (name: string, replaces: number, body: string) =>
    ledger.changeDocument({
      name,
      replaces,
      body,
      said: { by: 'operator', asked: 'prepare', subject: 'root', detail: body },
      forgetsHolders: false,
    });

  const ends = tamperingStart + hour;
  const lasts = tamperingStart + 100 * day;
  await createToken('a', ends);
  await issue(ends, 'a');
  await createToken('b', lasts);
  await revoke('serial', await issue(lasts));
  await revoke('serial', await issue(ends));
  await revoke('spiffe-id', spiffeId);
  await order(lasts);
  await createToken('c', lasts);
  await issue(lasts, 'c');
  await ledger.abandoned((await order(lasts)).position, 'no signer');
  await change('hierarchy', 0, 'one');
  await change('hierarchy', 1, 'two');
  await change('entries', 0, 'all');
  await ledger.takeListNumber('/crl/services', { number: '7', position: 11 });
  pass(5 * day);
  const archiving = {
    endedBefore: tamperingStart + 2 * day,
    limit: 100,
    holder: 'one',
    holdMs: 1000,
  };
  for (let next = 'more'; next === 'more'; ) ({ next } = await ledger.archiveEnded(archiving));
  const { certificates, tokens, revocations } = await ledger.retention();
  assert.deepEqual([certificates, tokens, revocations], [2, 1, 1]);
}

const token = (position: string, id: string, from = 4) =>
  `INSERT INTO tokens SELECT ${position}, at, '${id}', secret_hash, spiffe_id, names, provisioner, ttl_ms, expires_at, NULL
   FROM tokens WHERE position = ${from}`;
const revocation = (table: string, position: number) =>
  `INSERT INTO ${table} VALUES (${position}, ${position - 1}, 0, 'serial', '01', 'removeFromCRL', 0, 'nobody')`;

export const tamperingsOfEverything: readonly Tampering[] = [
  // Tokens.
  {
    sql: 'UPDATE tokens SET spent_by = NULL WHERE position = 13',
    finds: /^token "c{16}": changed: it is not spent, the intent at 14 redeemed it$/m,
  },
  {
    sql: 'UPDATE archived_tokens SET spent_by = NULL WHERE position = 1',
    finds: /^token "a{16}": changed: it is not spent, the intent at 2 redeemed it$/m,
  },
  {
    sql: 'UPDATE tokens SET spent_by = 5 WHERE position = 4',
    finds: /^token "b{16}" at 4: changed: it is spent by 5, which did not redeem it$/m,
  },
  ...['-5', '0', '99'].map((position) => ({
    sql: token(position, 'feedfeedfeedfeed'),
    finds: new RegExp(
      `^row of "tokens" at ${position}: slipped in: positions go from 1 to 17$`,
      'm',
    ),
  })),
  {
    sql: token('6', 'feedfeedfeedfeed'),
    finds: /^ledger record 6 \(token "(feed){4}"\): slipped in: no audit row is about it$/m,
  },
  {
    sql: `INSERT INTO tokens SELECT position, at, id, secret_hash, spiffe_id, names, provisioner, ttl_ms, ${
      tamperingStart + 200 * day
    }, NULL FROM archived_tokens`,
    finds: /^ledger record 1 \(token "a{16}"\): slipped in: no audit row is about it$/m,
  },
  ...[
    `names = '["dns:bank.example.com"]'`,
    'expires_at = expires_at + 1',
    "provisioner = 'other'",
    "spiffe_id = 'spiffe://example.com/other'",
    "secret_hash = 'ff'",
    'ttl_ms = 1',
  ].map((what) => ({
    sql: `UPDATE tokens SET ${what} WHERE position = 4`,
    finds:
      /^ledger record 4 \(token "b{16}"\): changed: it is not what audit row 4 was written about$/m,
  })),
  {
    sql: 'DELETE FROM tokens WHERE position = 4',
    finds: /^ledger record 4: missing, audit row 4 is about it$/m,
  },
  {
    sql: "UPDATE intents SET profile = 'long' WHERE position = 5",
    finds: /^ledger record 5 \(intent of ".*"\): changed/m,
  },

  {
    sql: "UPDATE intents SET proof_key = 'ff' WHERE position = 5",
    finds: /^ledger record 5 \(intent of ".*"\): changed/m,
  },

  // Rows where there is no place for them, or somebody else's.
  ...['revocations', 'archived_revocations'].flatMap((table) =>
    [-3, 0, 18].map((position) => ({
      sql: revocation(table, position),
      finds: new RegExp(`^row of "${table}" at ${position}: slipped in`, 'm'),
    })),
  ),
  ...['revocations', 'archived_revocations'].map((table) => ({
    sql: revocation(table, 4),
    finds: /^ledger record 4 \(revocation\): slipped in: no audit row is about it$/m,
  })),
  {
    // More than a number of ours holds: it cannot be read either.
    sql: "INSERT INTO revocations VALUES (9223372036854775807, 77, 0, 'serial', '01', 'superseded', 0, 'x')",
    finds: /^row of "revocations" at 9223372036854775807: slipped in/m,
  },
  {
    sql: 'INSERT INTO certificates SELECT 12, -7, at, der FROM certificates WHERE position = 6',
    finds: /^row of "certificates" at -7: slipped in/m,
  },
  {
    sql: 'INSERT INTO certificates SELECT 12, 4, at, der FROM certificates WHERE position = 6',
    finds: /^ledger record 4 \(issued of ".*"\): slipped in: no audit row is about it$/m,
  },
  {
    sql: 'INSERT INTO certificates SELECT 77, 4, at, der FROM certificates WHERE position = 6',
    finds: /^row of "certificates" at 4: slipped in: no intent stands at 77$/m,
  },
  {
    sql: "INSERT INTO abandoned VALUES (12, 0, 0, 'x')",
    finds: /^row of "abandoned" at 0: slipped in/m,
  },
  {
    sql: "INSERT INTO archived_abandoned VALUES (5, 13, 0, 'x')",
    finds: /^ledger record 13 \(abandoned\): slipped in: no audit row is about it$/m,
  },
  {
    sql: 'INSERT INTO audit SELECT -1, position, record, said, hash FROM audit WHERE seq = 1',
    finds: /^audit row -1: slipped in: the ledger's head says that they go from 1 to/m,
  },
  {
    sql: 'INSERT INTO archived_abandoned SELECT * FROM abandoned',
    finds: /^ledger record 17 \(abandoned\): slipped in: no audit row is about it$/m,
  },

  // What is beside the records.
  {
    sql: 'UPDATE intents SET outcome = NULL WHERE position = 5',
    finds: /^outcome of the intent at 5: changed: it is "open", the records say "issued"$/m,
    only: 'sqlite',
  },
  {
    sql: "UPDATE intents SET outcome = 'abandoned' WHERE position = 5",
    finds: /^outcome of the intent at 5: changed: it is "abandoned", the records say "issued"$/m,
    only: 'sqlite',
  },
  {
    sql: "UPDATE intents SET outcome = 'issued' WHERE position = 12",
    finds: /^outcome of the intent at 12: changed: it is "issued", the records say "open"$/m,
    only: 'sqlite',
  },
  {
    sql: "UPDATE archived_intents SET outcome = 'abandoned' WHERE position = 2",
    finds: /^outcome of the intent at 2: changed/m,
    only: 'sqlite',
  },
  {
    sql: 'DELETE FROM open_intents',
    finds: /^outcome of the intent at 12: changed: it is "ended", the records say "open"$/m,
    only: 'postgres',
  },
  {
    sql: "INSERT INTO open_intents VALUES (5, 'nobody')",
    finds: /^outcome of the intent at 5: changed: it is "open", the records say "issued"$/m,
    only: 'postgres',
  },
  ...(
    [
      ['intents', 'count of open intents is 94, that of the records 1'],
      ['issued', 'count of certificates is 99, that of the records 4'],
      ['abandoned', 'count of abandoned intents is 99, that of the records 1'],
      ['revocations', 'count of revocations is 99, that of the records 3'],
      ['tokens', 'count of tokens is 99, that of the records 3'],
      ['position', 'newest position is 99, that of the records 17'],
      ['revocation', 'newest revocation is 99, that of the records 11'],
    ] as const
  ).map(([column, says]) => ({
    sql: `UPDATE head SET ${column} = 99`,
    finds: new RegExp(`^ledger's head: changed: its ${says}$`, 'm'),
  })),
  {
    sql: 'UPDATE head SET position = 3',
    finds: /^row of "intents" at 5: slipped in: positions go from 1 to 3$/m,
  },
  {
    sql: 'UPDATE list_numbers SET position = 99',
    finds:
      /^number of the list "\/crl\/services": changed: it knows of revocation 99, the newest is 11$/m,
  },
  {
    sql: 'CREATE TRIGGER helpful AFTER UPDATE ON tokens BEGIN UPDATE tokens SET spent_by = NULL; END',
    finds: /^trigger "helpful" of the database: slipped in$/m,
    only: 'sqlite',
  },
  {
    sql: `CREATE FUNCTION unspend() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.spent_by := NULL; RETURN NEW; END';
      CREATE TRIGGER helpful BEFORE UPDATE ON tokens FOR EACH ROW EXECUTE FUNCTION unspend()`,
    finds: /^trigger "helpful" of the table "tokens": slipped in$/m,
    only: 'postgres',
  },

  // The archive, where few look.
  {
    sql: `INSERT INTO archived_revocations SELECT * FROM revocations WHERE position = 7;
      DELETE FROM revocations WHERE position = 7`,
    finds: /^ledger record 7 \(revocation\): archived, its certificate "01.*" is not$/m,
  },
  {
    sql: `INSERT INTO archived_revocations SELECT * FROM revocations WHERE position = 11;
      DELETE FROM revocations WHERE position = 11; UPDATE retention SET revocations = 2`,
    finds: /^ledger record 11 \(revocation\): archived, those of spiffe-id "spiffe:.*" stay$/m,
  },
  {
    sql: 'UPDATE archived_intents SET revocation = NULL WHERE position = 8',
    finds: /^certificate "01.*": archived as not revoked, ledger record 10 is$/m,
  },
  {
    sql: 'UPDATE archived_intents SET revocation = 3 WHERE position = 8',
    finds:
      /^ledger record 8 \(intent of "01.*"\): archived as revoked at 3, where no revocation stands$/m,
  },
  {
    sql: 'UPDATE archived_intents SET not_after = not_after + 999999999999 WHERE position = 8',
    finds: /^ledger record 8 \(intent of "01.*"\): archived, its certificate has not ended$/m,
  },
  {
    sql: `INSERT INTO archived_tokens SELECT * FROM tokens WHERE position = 4;
      DELETE FROM tokens WHERE position = 4`,
    finds: /^ledger record 4 \(token "b{16}"\): archived, it has not expired$/m,
  },
  {
    sql: 'UPDATE retention SET tokens = 7',
    finds: /^count of archived tokens: changed: it says 7, there are 1$/m,
  },

  // What processes share.
  {
    sql: "UPDATE documents SET version = 1, body = 'one' WHERE name = 'hierarchy'",
    finds: /^document "hierarchy": it has version 1, the audit trail says 2$/m,
  },
  {
    sql: "UPDATE documents SET body = 'one' WHERE name = 'hierarchy'",
    finds:
      /^document "hierarchy": version 2 was changed: its hash is "[0-9a-f]{64}", the audit trail says "[0-9a-f]{64}"$/m,
  },
  {
    sql: "UPDATE documents SET version = 9, body = 'one' WHERE name = 'hierarchy'",
    finds: /^document "hierarchy": it has version 9, the audit trail says 2$/m,
  },
  {
    sql: "DELETE FROM documents WHERE name = 'hierarchy'",
    finds: /^document "hierarchy": missing, the audit trail has version 2$/m,
  },
  {
    sql: "INSERT INTO documents VALUES ('jwt-keys', 1, 'mine')",
    finds: /^document "jwt-keys": slipped in: no audit row is about it$/m,
  },
];
