import { CountersignError, messageOf } from '@countersign/base';

export interface NamedList {
  readonly issuer: string;
  /** DER. */
  readonly bytes: Uint8Array;
}

const timeoutMs = 30_000;
const mostIndexBytes = 4 * 1024 * 1024;
const mostListBytes = 128 * 1024 * 1024;

/**
 * The lists that an authority publishes, deltas included, as they are now. Signatures are for who relies on them.
 *
 * @throws CountersignError ERR_USAGE, ERR_PUBLISH_ISSUER, ERR_WIRE_UNREACHABLE, ERR_WIRE_MESSAGE
 */
export async function fetchLists(base: string, issuer: string | undefined): Promise<NamedList[]> {
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
  for (const { name, paths } of chosen) {
    for (const path of paths) {
      lists.push({ issuer: name, bytes: await get(root + path, mostListBytes) });
    }
  }
  return lists;
}

/** Paths, since the addresses in the index are those that certificates name, which may lead elsewhere from here. */
function readIndex(bytes: Uint8Array, root: string): { name: string; paths: string[] }[] {
  try {
    const { issuers } = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return issuers.map((each: { name: unknown; lists: { url: unknown }[] }) => ({
      name: String(each.name),
      paths: each.lists.map(({ url }) => {
        const path = /\/crl\/[A-Za-z0-9_./-]+$/.exec(String(url))?.[0];
        if (path === undefined) throw new TypeError(`"${String(url)}" is no address of a list`);
        return path;
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
