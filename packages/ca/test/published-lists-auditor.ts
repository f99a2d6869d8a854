import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { parseCrl } from '@countersign/x509';
import { publishedUrlOf } from '../src/publish/published-url.ts';

/** A list as somebody got it. */
interface SeenList {
  readonly number: bigint;
  readonly hash: string;
  readonly serials: ReadonlySet<string>;
}

/**
 * What relying parties see of the lists of authorities that are killed and started again, one or several over a ledger: no
 * number stands for two lists, none goes back at one authority, and of two lists the later one knows what the earlier one
 * knew.
 */
export class PublishedListsAuditor {
  /** By path, ascending by number. */
  readonly #byPath = new Map<string, SeenList[]>();
  /** By data directory and path. */
  readonly #newest = new Map<string, bigint>();
  /** How often a list was got. */
  reads = 0;

  /** Different lists that were seen. */
  get lists(): number {
    return [...this.#byPath.values()].reduce((sum, lists) => sum + lists.length, 0);
  }

  /** Gets every list of the authority of a data directory; what is killed meanwhile gives none. */
  async read(data: string): Promise<void> {
    const url = await publishedUrlOf(data);
    if (url === undefined) return;
    const index = await got(`${url}/index.json`);
    if (index === undefined) return;
    for (const path of pathsOf(JSON.parse(index.toString()))) {
      const bytes = await got(url + path);
      if (bytes !== undefined) this.#judge(data, path, bytes);
    }
  }

  /** Whether the newest list of some path has these serials, by what was got so far. */
  has(serials: ReadonlySet<string>): boolean {
    const listed = [...this.#byPath.values()].flatMap((lists) => [
      ...(lists.at(-1)?.serials ?? []),
    ]);
    return serials.isSubsetOf(new Set(listed));
  }

  #judge(data: string, path: string, bytes: Uint8Array): void {
    const { crlNumber: number = -1n, entries } = parseCrl(bytes);
    this.reads += 1;
    const key = `${data} ${path}`;
    const before = this.#newest.get(key) ?? -1n;
    assert.ok(number >= before, `${path}: number ${number} after ${before} at one authority`);
    this.#newest.set(key, number);

    const lists = this.#byPath.get(path) ?? [];
    this.#byPath.set(path, lists);
    const hash = createHash('sha256').update(bytes).digest('hex');
    const same = lists.find((list) => list.number === number);
    if (same !== undefined) {
      assert.equal(hash, same.hash, `${path}: number ${number} stands for two lists`);
      return;
    }
    const seen = { number, hash, serials: new Set(entries.keys()) };
    const at = lists.findLastIndex((list) => list.number < number);
    const [earlier, later] = [lists[at], lists[at + 1]];
    const isGrowing =
      earlier?.serials.isSubsetOf(seen.serials) !== false &&
      (later === undefined || seen.serials.isSubsetOf(later.serials));
    assert.ok(isGrowing, `${path}: of ${number} and its neighbours the later list knows less`);
    lists.splice(at + 1, 0, seen);
    // Neighbours are compared; of old ones the number and the hash are enough.
    if (lists.length > 2000) lists.shift();
  }
}

function pathsOf(index: unknown): string[] {
  const text = JSON.stringify(index);
  return [...new Set(text.match(/\/crl\/[\w/-]+\.crl/g) ?? [])].filter(
    (path) => !path.includes('-delta'),
  );
}

async function got(url: string): Promise<Buffer | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) return undefined;
    return Buffer.from(await response.arrayBuffer());
  } catch {
    return undefined;
  }
}
