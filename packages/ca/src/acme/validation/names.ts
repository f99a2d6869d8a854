import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { AddressGuard } from '@countersign/wire';

/** More addresses of one name than that are not tried. */
const mostAddresses = 4;

/** Thrown where a name leads nowhere that may be connected to; its message is for the client. */
export class NameFailure extends Error {
  readonly type = 'dns';
  /** Whether another look may find it. */
  readonly again: boolean;

  constructor(message: string, again: boolean) {
    super(message);
    this.again = again;
  }
}

/** The domain name system as one vantage sees it. */
export class Names {
  /** Undefined: as the machine resolves names, its files included. */
  readonly #resolver: Resolver | undefined;

  constructor(servers: readonly string[], timeoutMs: number) {
    if (servers.length === 0) return;
    this.#resolver = new Resolver({ timeout: Math.max(500, Math.trunc(timeoutMs / 3)), tries: 2 });
    this.#resolver.setServers(servers);
  }

  /** Addresses of a host that may be connected to. @throws NameFailure */
  async addresses(host: string, guard: AddressGuard | undefined): Promise<readonly string[]> {
    const found = isIP(host) !== 0 ? [host] : await this.#addressesOf(host);
    if (found.length === 0) throw new NameFailure(`"${host}" has no address`, true);
    const refused = guard === undefined ? [] : found.map((each) => guard.refuses(each));
    const allowed = found.filter((_, i) => refused[i] === undefined);
    if (allowed.length === 0) {
      throw new NameFailure(`"${host}" has no address that may be connected to`, false);
    }
    return allowed.slice(0, mostAddresses);
  }

  /** Each record with its strings joined. @throws NameFailure */
  async texts(name: string): Promise<readonly string[]> {
    const resolver = this.#resolver ?? new Resolver();
    const records = await resolver.resolveTxt(name).catch((thrown: unknown) => {
      throw new NameFailure(`TXT of "${name}": ${codeOf(thrown)}`, true);
    });
    return records.map((parts) => parts.join(''));
  }

  async #addressesOf(host: string): Promise<string[]> {
    const resolver = this.#resolver;
    if (resolver === undefined) {
      // RFC 6761 §6.3, which not every system's own look-up keeps
      if (/(?:^|\.)localhost$/.test(host)) return ['127.0.0.1', '::1'];
      const found = await lookup(host, { all: true }).catch((thrown: unknown) => {
        throw new NameFailure(`addresses of "${host}": ${codeOf(thrown)}`, true);
      });
      return found.map(({ address }) => address);
    }
    const [four, six] = await Promise.allSettled([
      resolver.resolve4(host),
      resolver.resolve6(host),
    ]);
    const found = [four, six].flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
    if (found.length > 0 || four.status === 'fulfilled') return found;
    throw new NameFailure(`addresses of "${host}": ${codeOf(four.reason)}`, true);
  }
}

function codeOf(thrown: unknown): string {
  const { code } = thrown as { code?: unknown };
  return typeof code === 'string' ? code : 'no answer';
}
