import type { Clock, Log } from '@countersign/base';
import { CountersignError } from '@countersign/base';
import type { LiveSource } from '../live/live-source.ts';
import { liveTlsOptions, type TlsOptionsRules } from '../live/tls-options.ts';
import { retireStale } from './retire-stale.ts';

interface PgClient {
  connect(): Promise<unknown>;
  query(text: string): Promise<unknown>;
  end(): Promise<unknown>;
}

interface PooledPgClient extends PgClient {
  release(isBroken?: boolean): void;
}

interface PgPool {
  on(event: string, listener: (...given: never[]) => void): unknown;
  connect(): Promise<PooledPgClient>;
}

/** What is needed of `pg`, version 8. */
export interface PgModule<Pool extends object = object> {
  readonly Pool: new (config: never) => Pool;
  readonly Client: new (config: never) => object;
}

export interface PgRules extends TlsOptionsRules {
  readonly log?: Log;
  readonly clock?: Clock;
}

/**
 * A pool of `pg` whose connections present the identity of the moment that they are made, and that talks to the server
 * with the right SPIFFE ID alone. After a rotation its connections are replaced, each once nobody uses it.
 *
 * @param config as `pg.Pool` takes it, without `ssl`
 * @throws CountersignError ERR_IDENTITY_ADAPTER, ERR_IDENTITY_PATTERN; ERR_USAGE for an `ssl` of the caller, also one in
 *   the connection string, which would replace this one
 */
export function pgPool<Pool extends object>(
  pg: PgModule<Pool>,
  source: LiveSource,
  config: object = {},
  rules: PgRules = {},
): Pool {
  if (typeof pg?.Pool !== 'function' || typeof pg.Client !== 'function') {
    throw new CountersignError('ERR_IDENTITY_ADAPTER', 'pg: no Pool and Client in it');
  }
  refuseOtherTls(config);
  const ssl = liveTlsOptions(source, rules);
  const live = { ...config, ssl };
  const began = new WeakMap<object, string>();
  const given = (config as { readonly Client?: unknown }).Client ?? pg.Client;
  const Client = given as new (options: object) => PgClient;
  class NotedClient extends Client {
    constructor(options: object) {
      super(options);
      began.set(this, source.svid().serialHex);
    }
  }
  const pool = new pg.Pool({ ...live, Client: NotedClient } as never);
  const { on, connect } = pool as unknown as PgPool;
  const retirer = retireStale<PooledPgClient>(
    source,
    {
      borrow: () => connect.call(pool),
      giveBack: (client) => client.release(),
      end: (client) => client.release(true),
      async prove() {
        const client = new pg.Client(live as never) as PgClient;
        try {
          await client.connect();
          await client.query('SELECT 1');
        } finally {
          await client.end().catch(() => {});
        }
      },
    },
    { ...rules, name: 'pg' },
  );
  on.call(pool, 'connect', (client: PooledPgClient) => {
    retirer.made(client, began.get(client) ?? '');
  });
  on.call(pool, 'acquire', (client: PooledPgClient) => retirer.taken(client));
  on.call(pool, 'release', (...[, client]: [unknown, PooledPgClient]) => {
    retirer.givenBack(client);
  });
  on.call(pool, 'remove', (client: PooledPgClient) => retirer.gone(client));
  stopWithPool(pool, () => retirer.stop());
  return pool;
}

function refuseOtherTls(config: object): void {
  const { ssl, connectionString } = config as { ssl?: unknown; connectionString?: unknown };
  const inText =
    typeof connectionString === 'string' && /[?&](ssl|uselibpq)/i.test(connectionString);
  if (ssl === undefined && !inText) return;
  const message = `pg: ${inText ? 'the connection string' : 'the configuration'} has TLS settings of its own`;
  throw new CountersignError('ERR_USAGE', message, {
    hint: 'leave out ssl and sslmode: the identity brings what TLS needs',
  });
}

/** Who ends the pool ends what follows the identity for it. */
function stopWithPool(pool: object, stop: () => void): void {
  const { end } = pool as { end(...given: unknown[]): unknown };
  Object.defineProperty(pool, 'end', {
    configurable: true,
    writable: true,
    value: (...given: unknown[]) => {
      stop();
      return end.call(pool, ...given);
    },
  });
}
