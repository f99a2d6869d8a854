import { lookup, Resolver } from 'node:dns/promises';

export interface Resolved {
  readonly addresses: readonly string[];
  /** How long they may be kept, where that was asked for and said. */
  readonly ttlMs?: number;
}

/** Every address of a name. @param wantsTtl asks the servers of DNS themselves, past what the system has of its own */
export type Resolve = (host: string, wantsTtl: boolean) => Promise<Resolved>;

/** @throws Error of node:dns where the name has no address, or nobody says so */
export const resolveAddresses: Resolve = async (host, wantsTtl) => {
  if (wantsTtl) return await askServers(host);
  const found = await lookup(host, { all: true });
  return { addresses: found.map(({ address }) => address) };
};

async function askServers(host: string): Promise<Resolved> {
  const resolver = new Resolver();
  const asked = await Promise.allSettled([
    resolver.resolve4(host, { ttl: true }),
    resolver.resolve6(host, { ttl: true }),
  ]);
  const found = asked.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
  const [failed] = asked.filter((each) => each.status === 'rejected');
  if (found.length === 0 && failed !== undefined) throw failed.reason;
  const ttlMs = 1000 * Math.min(...found.map(({ ttl }) => ttl));
  return { addresses: found.map(({ address }) => address), ttlMs };
}
