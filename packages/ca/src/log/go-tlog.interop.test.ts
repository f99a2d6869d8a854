import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { noLog, noMeter, systemClock } from '@countersign/base';
import {
  consistencyRanges,
  formatLogProof,
  nodeReader,
  noteKeyOf,
  proofHashes,
} from '@countersign/wire';
import { generateKeyPair, keySigner } from '@countersign/x509';
import { issuedOf, payments, request, testAuthority } from '../../test/authority-under-test.ts';
import { IssuanceLog } from './issuance-log.ts';
import { logDirectory } from './log-files.ts';

const program = fileURLToPath(new URL('../../test/read-log', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'countersign-go-tlog-'));
after(() => rmSync(scratch, { recursive: true }));
const reader = join(scratch, 'read-log');
const skip = build();
if (skip !== false) process.stderr.write(`skipped: ${skip}\n`);

/** The module may not be had where nothing is downloaded. */
function build(): string | false {
  const built = spawnSync('go', ['build', '-o', reader, '.'], {
    cwd: program,
    encoding: 'utf8',
    timeout: 300_000,
  });
  if (built.error !== undefined) return 'go is not installed';
  return built.status === 0 ? false : `go cannot build the reader: ${built.stderr.slice(0, 200)}`;
}

function read(directory: string, ...proofs: string[]) {
  const done = spawnSync(reader, [directory, ...proofs], { encoding: 'utf8', timeout: 60_000 });
  return { code: done.status, lines: done.stdout.trimEnd().split('\n') };
}

test("Go's sumdb/tlog and sumdb/note read the whole log, and believe its proofs", {
  skip,
  timeout: 300_000,
}, async () => {
  const { privateKey } = await generateKeyPair({ type: 'Ed25519' });
  const signer = keySigner(privateKey);
  const key = { key: noteKeyOf('example.com/log/1', signer.spki), signer };
  const authority = await testAuthority();
  const { ledger } = authority;
  const log = await IssuanceLog.open({
    ...{ ledger, files: logDirectory(scratch), key },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
  });
  const csr = await request();
  const serials: string[] = [];
  const grow = async (times: number) => {
    for (let i = 0; i < times; i += 1) {
      const order = { csr, spiffeId: payments, dns: [], ip: [] };
      serials.push(issuedOf(await authority.issue(order)).serialHex);
    }
    await log.flush();
  };
  await grow(5);
  const from = log.note ?? '';
  for (const times of [1, 247, 1, 400]) {
    await grow(times);
    const size = serials.length + 3;
    // Ours to Go: proofs of a certificate and of growth.
    const proof = await log.proofOf(serials[3]!);
    assert.ok(proof.ok);
    const node = nodeReader(log.source(), size);
    const hashes = await proofHashes(consistencyRanges(8, size), node);
    const grown = { kind: 'consistency', from, checkpoint: log.note ?? '', hashes } as const;
    const paths = ['proof.json', 'cert.der', 'grown.json'].map((name) => join(scratch, name));
    writeFileSync(paths[0]!, formatLogProof(proof.proof));
    writeFileSync(paths[1]!, (await ledger.certificate(serials[3]!))!.der);
    writeFileSync(paths[2]!, formatLogProof(grown));
    const { code, lines } = read(scratch, ...paths);
    assert.equal(code, 0, lines.at(-1) ?? '');
    assert.deepEqual(lines.slice(3), [...serials, 'ok'], `size ${size}`);
    // And what Go refuses.
    writeFileSync(paths[1]!, (await ledger.certificate(serials[4]!))!.der);
    assert.equal(read(scratch, ...paths).code, 1);
  }
  const tile = join(scratch, 'tile/0/000');
  const bytes = readFileSync(tile);
  bytes[77]! ^= 1;
  writeFileSync(tile, bytes);
  assert.equal(read(scratch).code, 1);
});
