import { CountersignError } from '@countersign/base';

/** Whether it is an address of the form `postgres://user:password@host:port/database`. */
export function isDatabaseUrl(url: string): boolean {
  const parsed = URL.parse(url);
  return parsed !== null && /^postgres(?:ql)?:$/.test(parsed.protocol);
}

/**
 * What the driver is to connect with. Over a network the database is asked for TLS and its certificate is verified,
 * unless the URL says otherwise by name (`sslmode=disable`).
 *
 * @throws CountersignError ERR_LEDGER_URL
 */
export function connectionOf(url: string): { connectionString: string; ssl?: boolean } {
  const { hostname, searchParams } = parseDatabaseUrl(url);
  const isLocal = localHosts.has(hostname) || searchParams.has('host');
  const saysTls = searchParams.has('sslmode') || searchParams.has('ssl');
  return { connectionString: url, ...(isLocal || saysTls ? {} : { ssl: true }) };
}

/** Where a URL leads, without user and password: for messages. */
export function describeUrl(url: string): string {
  const { hostname, port, pathname, searchParams } = parseDatabaseUrl(url);
  const host = hostname === '' ? (searchParams.get('host') ?? 'localhost') : hostname;
  return `${host}${port === '' ? '' : `:${port}`}${pathname}`;
}

function parseDatabaseUrl(url: string): URL {
  if (isDatabaseUrl(url)) return new URL(url);
  // What was given may hold a password, so it is not repeated.
  throw new CountersignError(
    'ERR_LEDGER_URL',
    'the address of the database is no URL of the form postgres://user:password@host:port/database',
  );
}

const localHosts: ReadonlySet<string> = new Set(['', 'localhost', '127.0.0.1', '[::1]']);
