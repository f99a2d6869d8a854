// The thread of a server that does nothing but what it must: the rows of certificates, as the ledger has them, with no
// question asked. What a commit takes by itself.
import { parentPort, workerData } from 'node:worker_threads';
import { openLedgerDatabase } from '../src/ledger/sqlite-schema.ts';

/** Before the signature, and after it with the certificate. */
export type BareRow =
  | readonly [position: number, serial: string, name: string, spkiHash: string, notAfter: number]
  | readonly [position: number, der: Uint8Array];

const database = openLedgerDatabase(String(workerData), { create: true });
const begin = database.prepare('BEGIN IMMEDIATE');
const commit = database.prepare('COMMIT');
const intend = database.prepare(
  `INSERT INTO intents (position, at, serial, spiffe_id, names, spki_hash, provisioner, grant_kind,
   granted_by, issuer, not_after) VALUES (?, ?, ?, ?, ?, ?, 'operator', 'renewal', ?, 'services', ?)`,
);
const issue = database.prepare('INSERT INTO certificates VALUES (?, ?, ?, ?)');
const end = database.prepare("UPDATE intents SET outcome = 'issued' WHERE position = ?");
const trail = database.prepare('INSERT INTO audit VALUES (?, ?, ?, ?, ?)');
const head = database.prepare('UPDATE head SET position = ?, audit = ?, audit_hash = ?');
const digest = new Uint8Array(32).fill(7);
let seq = 0;
let last = 0;

parentPort?.on('message', (rows: readonly BareRow[]) => {
  begin.run();
  for (const row of rows) {
    seq += 1;
    last += 1;
    if (row.length === 2) {
      const [position, der] = row;
      issue.run(position, 1e9 + last, 1.7e12, der);
      end.run(position);
      trail.run(seq, 1e9 + last, digest, '{}', digest);
    } else {
      const [position, serial, name, spkiHash, notAfter] = row;
      intend.run(position, 1.7e12, serial, name, `["uri:${name}"]`, spkiHash, serial, notAfter);
      trail.run(seq, position, digest, `{"by":"${name}","from":"127.0.0.1"}`, digest);
    }
  }
  head.run(last, seq, digest);
  commit.run();
  parentPort?.postMessage(rows.length);
});
