import { CountersignError, messageOf } from '@countersign/base';

export interface NamedList {
  readonly issuer: string;
  /** The address that certificates name; undefined where nothing is published. */
  readonly url?: string | undefined;
  /** DER. */
  readonly bytes: Uint8Array;
}

/**
 * Which lists of an issuer: all that there are, the one that is about all certificates, one part of a sharded one, or the
 * deltas, of all parts or of one.
 */
export type ListChoice =
  | 'each'
  | 'complete'
  | { readonly shard: number }
  | { readonly delta: true; readonly shard: number | undefined };

const timeoutMs = 30_000;
const mostIndexBytes = 4 * 1024 * 1024;
const mostListBytes = 128 * 1024 * 1024;

/**
 * The lists that an authority publishes, deltas included unless some are chosen, as they are now. Signatures are for who relies on them.
 *
 * @throws CountersignError ERR_USAGE, ERR_PUBLISH_ISSUER, ERR_WIRE_UNREACHABLE, ERR_WIRE_MESSAGE
 */
export async function fetchLists(
  base: string,
  issuer: string | undefined,
  choice: ListChoice,
): Promise<NamedList[]> {
  if (!URL.canParse(base) || !/^http:/.test(base)) {
    const message = `crl: --ca "${base}" is not where lists are published, expected publish.url of ca.yaml: http://…`;
    throw new CountersignError('ERR_USAGE', message);
  }
  const root = base.replace(/\/+$/, '');
  const index = readIndex(await get(`${root}/index.json`, mostIndexBytes), root);
  const chosen = index.filter(({ name }) => issuer === undefined || name === issuer);
  if (chosen.length === 0) {
    const known = index.map(({ name }) => `"${name}"`).join(', ');
    const message = `there is no issuer "${issuer}" at "${root}", there are ${known}`;
    throw new CountersignError('ERR_PUBLISH_ISSUER', message);
  }
  const lists: NamedList[] = [];
  for (const { name, places } of chosen) {
    for (const { path, url } of choosePlaces(places, choice)) {
      lists.push({ issuer: name, url, bytes: await get(root + path, mostListBytes) });
    }
  }
  if (lists.length > 0 || typeof choice === 'string') return lists;
  const of = issuer === undefined ? '' : ` of "${issuer}"`;
  if ('delta' in choice) {
    const part = choice.shard === undefined ? '' : ` ${choice.shard}`;
    const message = `there is no delta list${part}${of} at "${root}": publish.crl.delta of ca.yaml has them made`;
    throw new CountersignError('ERR_PUBLISH_ISSUER', message);
  }
  const parts = chosen[0]?.places.filter(({ path }) => partOf(path) !== undefined).length ?? 0;
  const message = `there is no list ${choice.shard}${of} at "${root}", it is kept in ${Math.max(1, parts)}`;
  throw new CountersignError('ERR_PUBLISH_ISSUER', message);
}

interface Place {
  readonly url: string;
  readonly path: string;
}

/** Of a sharded issuer the index has the parts; beside them the list about all of its certificates is served, too. */
function choosePlaces(places: readonly Place[], choice: ListChoice): readonly Place[] {
  if (choice === 'each') return places;
  if (typeof choice !== 'string' && 'delta' in choice) {
    const deltas = places.filter(({ path }) => deltaOf(path) !== undefined);
    const { shard } = choice;
    return shard === undefined ? deltas : deltas.filter(({ path }) => deltaOf(path) === shard);
  }
  if (choice !== 'complete') {
    const isWhole = places.every(({ path }) => partOf(path) === undefined);
    if (isWhole && choice.shard === 0) return choosePlaces(places, 'complete');
    return places.filter(({ path }) => partOf(path) === choice.shard);
  }
  const [first] = places;
  if (first === undefined) return [];
  const path = first.path.replace(
    /^\/crl\/([A-Za-z0-9_-]+?)(?:\/.*|(?:-delta)?\.crl)$/,
    '/crl/$1.crl',
  );
  return [{ path, url: first.url.slice(0, -first.path.length) + path }];
}

/** The number of a part, of its list that is no delta. */
function partOf(path: string): number | undefined {
  const digits = /\/\d+\/(\d{3})\.crl$/.exec(path)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The number of the part that a delta is of, 0 where there are no parts. */
function deltaOf(path: string): number | undefined {
  if (!path.endsWith('-delta.crl')) return undefined;
  return Number(/\/\d+\/(\d{3})-delta\.crl$/.exec(path)?.[1] ?? 0);
}

/** Paths, since the addresses in the index are those that certificates name, which may lead elsewhere from here. */
function readIndex(bytes: Uint8Array, root: string): { name: string; places: Place[] }[] {
  try {
    const { issuers } = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return issuers.map((each: { name: unknown; lists: { url: unknown }[] }) => ({
      name: String(each.name),
      places: each.lists.map(({ url }) => {
        const path = /\/crl\/[A-Za-z0-9_./-]+$/.exec(String(url))?.[0];
        if (path === undefined) throw new TypeError(`"${String(url)}" is no address of a list`);
        return { path, url: String(url) };
      }),
    }));
  } catch (thrown) {
    const message = `read the index of "${root}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_WIRE_MESSAGE', message, { cause: thrown });
  }
}

async function get(url: string, most: number): Promise<Uint8Array> {
  const attempted = `fetch "${url}"`;
  const unreachable = (reason: string, cause?: unknown): CountersignError =>
    new CountersignError('ERR_WIRE_UNREACHABLE', `${attempted}: ${reason}`, { cause });
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(timeoutMs),
      redirect: 'error',
    });
    if (response.status !== 200) throw unreachable(`it answered ${response.status}, expected 200`);
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of response.body ?? []) {
      length += part.byteLength;
      if (length > most) throw unreachable(`more than ${most} bytes`);
      parts.push(part);
    }
    return Buffer.concat(parts);
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    throw unreachable(messageOf(thrown), thrown);
  }
}
