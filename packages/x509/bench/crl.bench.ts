import { createHash, sign } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import {
  buildCrl,
  buildName,
  CrlEntryWriter,
  generateKeyPair,
  keySigner,
  parseCrl,
  type RevokedCertificate,
} from '../src/index.ts';

export interface CrlFigures {
  readonly entries: number;
  readonly bytes: number;
  /** SHA-256 over the same bytes and one signature: what OpenSSL alone takes. */
  readonly floorMillis: number;
  /** Encode every entry, assemble and sign. */
  readonly buildMillis: number;
  /** Add one entry to those that were kept encoded, assemble and sign. */
  readonly rebuildMillis: number;
  readonly parseMillis: number;
  /** One serial number on the list, decoded; and one that is not. */
  readonly lookupMicros: number;
  readonly missMicros: number;
}

const rounds = 3;

/** A list of a million entries, built, built again with one more, read and asked; medians of thread CPU. */
export async function measureCrl(entries = 1_000_000): Promise<CrlFigures> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const signer = keySigner(privateKey);
  const template = {
    signer,
    issuer: buildName([{ type: 'CN', value: 'bench' }]),
    thisUpdate: Date.UTC(2026, 0, 1),
    nextUpdate: Date.UTC(2026, 0, 8),
    crlNumber: 1n,
  };
  const revoked = Array.from({ length: entries }, (_, i) => revokedOf(i));
  const figures: Omit<CrlFigures, 'entries' | 'bytes'>[] = [];
  let bytes = 0;
  for (let round = 0; round < rounds; round += 1) {
    let list: Uint8Array = new Uint8Array();
    const buildMillis = await millisOf(async () => {
      list = await buildCrl({ ...template, entries: revoked });
    });
    bytes = list.byteLength;

    const floorMillis = await millisOf(() => {
      createHash('sha256').update(list).digest();
      sign('sha256', list.subarray(0, 32), privateKey);
    });

    const writer = new CrlEntryWriter();
    for (const entry of revoked) writer.add(entry);
    const rebuildMillis = await millisOf(async () => {
      writer.add(revokedOf(entries));
      await buildCrl({ ...template, entries: writer });
    });

    let parsed = parseCrl(list.subarray());
    const parseMillis = await millisOf(() => {
      parsed = parseCrl(list);
    });

    const known = shuffled(revoked.map(({ serialHex }) => serialHex));
    const unknown = known.map((serialHex) => `02${serialHex.slice(2)}`);
    let found = 0;
    const lookupMillis = await millisOf(() => {
      for (const serialHex of known) if (parsed.entries.get(serialHex) !== undefined) found += 1;
    });
    const missMillis = await millisOf(() => {
      for (const serialHex of unknown) if (parsed.entries.get(serialHex) !== undefined) found += 1;
    });
    if (found !== entries) throw new Error(`${found} of ${entries} entries found`);
    const lookupMicros = (lookupMillis * 1000) / entries;
    const missMicros = (missMillis * 1000) / entries;
    figures.push({
      floorMillis,
      buildMillis,
      rebuildMillis,
      parseMillis,
      lookupMicros,
      missMicros,
    });
  }
  const median = (of: keyof (typeof figures)[number]): number =>
    figures.map((figure) => figure[of]).toSorted((a, b) => a - b)[rounds >> 1] ?? Number.NaN;
  return {
    entries,
    bytes,
    floorMillis: median('floorMillis'),
    buildMillis: median('buildMillis'),
    rebuildMillis: median('rebuildMillis'),
    parseMillis: median('parseMillis'),
    lookupMicros: median('lookupMicros'),
    missMicros: median('missMicros'),
  };
}

/** Of 20 octets as the authority makes them: a position, and the rest as good as random; nearly all with a reason. */
function revokedOf(i: number): RevokedCertificate {
  const position = i.toString(16).padStart(14, '0');
  const random = createHash('md5').update(position).digest('hex').slice(0, 24);
  // flat, as a database gives it, and not a rope of pieces
  const serialHex = Buffer.from(`01${position}${random}`, 'latin1').toString('latin1');
  const date = Date.UTC(2026, 0, 1) - i * 20_000;
  return { serialHex, date, reason: i % 10 === 0 ? 'unspecified' : 'superseded' };
}

function shuffled(texts: string[]): string[] {
  for (let i = texts.length - 1; i > 0; i -= 1) {
    const j = (i * 7919) % (i + 1);
    [texts[i], texts[j]] = [texts[j] ?? '', texts[i] ?? ''];
  }
  return texts;
}

/** CPU time of this thread: other work on the machine stretches the wall clock, not this. */
async function millisOf(work: () => void | Promise<void>): Promise<number> {
  const before = process.threadCpuUsage();
  await work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const figures = await measureCrl();
  console.log(
    `crl of ${figures.entries} entries, ${(figures.bytes / 1e6).toFixed(0)} MB: built and signed in ` +
      `${figures.buildMillis.toFixed(0)} ms (floor ${figures.floorMillis.toFixed(0)} ms), one more ` +
      `in ${figures.rebuildMillis.toFixed(0)} ms, read in ${figures.parseMillis.toFixed(0)} ms, ` +
      `look-up ${figures.lookupMicros.toFixed(2)} µs, miss ${figures.missMicros.toFixed(2)} µs`,
  );
}
