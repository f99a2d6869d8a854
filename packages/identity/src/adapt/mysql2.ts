import type { PeerCertificate, TLSSocket } from 'node:tls';
import { type Clock, CountersignError, type Log } from '@countersign/base';
import { contextOptions } from '@countersign/mtls';
import { encodePem } from '@countersign/x509';
import type { LiveSource } from '../live/live-source.ts';
import { type LiveTlsOptions, liveTlsOptions, type TlsOptionsRules } from '../live/tls-options.ts';
import { retireStale } from './retire-stale.ts';

type Done<T = unknown> = (failed: Error | null, result: T) => void;

interface MysqlConnection {
  release(): void;
  destroy(): void;
  once(event: string, listener: (...given: never[]) => void): unknown;
}

interface MysqlPool {
  on(event: string, listener: (...given: never[]) => void): unknown;
  getConnection(done: Done<MysqlConnection>): void;
}

/** What is needed of `mysql2` (not of `mysql2/promise`: the pool has `.promise()`), from version 3.5 on. */
export interface MysqlModule<Pool extends object = object> {
  createPool(config: never): Pool;
  createConnection(config: never): object;
  readonly Connection: unknown;
}

export interface MysqlRules extends TlsOptionsRules {
  readonly log?: Log;
  readonly clock?: Clock;
}

/**
 * A pool of `mysql2` whose connections present the identity of the moment that they are made. No user name or password
 * is sent before the server is known to have the right SPIFFE ID. After a rotation its connections are replaced, each
 * once nobody uses it.
 *
 * @param config as `createPool` takes it, without `ssl`
 * @throws CountersignError ERR_IDENTITY_ADAPTER, ERR_IDENTITY_PATTERN; ERR_USAGE for an `ssl` of the caller
 */
export function mysqlPool<Pool extends object>(
  mysql: MysqlModule<Pool>,
  source: LiveSource,
  config: object = {},
  rules: MysqlRules = {},
): Pool {
  if ('ssl' in config || ('uri' in config && /[?&]ssl/i.test(String(config.uri)))) {
    throw new CountersignError(
      'ERR_USAGE',
      'mysql2: the configuration has TLS settings of its own',
      {
        hint: 'leave out ssl: the identity brings what TLS needs',
      },
    );
  }
  takeOverTls(mysql);
  const tls = liveTlsOptions(source, rules);
  const live = { ...config, ssl: liveSsl({ source, tls, rules }) };
  const pool = mysql.createPool(live as never);
  const { on, getConnection } = pool as unknown as MysqlPool;
  const retirer = retireStale<MysqlConnection>(
    source,
    {
      borrow: () =>
        new Promise((resolve, reject) => {
          getConnection.call(pool, (failed, connection) => {
            if (failed === null || failed === undefined) resolve(connection);
            else reject(failed);
          });
        }),
      giveBack: (connection) => connection.release(),
      end(connection) {
        connection.destroy();
        retirer.gone(connection);
      },
      prove: () => proveConnection(mysql.createConnection(singleOf(live) as never)),
    },
    { ...rules, name: 'mysql2' },
  );
  on.call(pool, 'connection', (connection: MysqlConnection) => {
    retirer.made(connection, began.get(connection) ?? '');
    connection.once('end', () => retirer.gone(connection));
    connection.once('error', () => retirer.gone(connection));
  });
  on.call(pool, 'acquire', (connection: MysqlConnection) => retirer.taken(connection));
  on.call(pool, 'release', (connection: MysqlConnection) => retirer.givenBack(connection));
  const { end } = pool as unknown as { end(...given: unknown[]): unknown };
  Object.defineProperty(pool, 'end', {
    configurable: true,
    writable: true,
    value: (...given: unknown[]) => {
      retirer.stop();
      return end.call(pool, ...given);
    },
  });
  return pool;
}

interface Ours {
  readonly source: LiveSource;
  readonly tls: LiveTlsOptions;
  readonly rules: TlsOptionsRules;
}

const evidence = Symbol('identity behind a connection');

/** What `mysql2` keeps as its `ssl`: nothing that it could connect with by itself. */
function liveSsl(ours: Ours): object {
  return Object.defineProperties(
    { rejectUnauthorized: true },
    {
      [evidence]: { value: ours, enumerable: true },
      ca: {
        get() {
          const message = 'mysql2: this connection does not take its TLS from the identity';
          throw new CountersignError('ERR_IDENTITY_ADAPTER', message);
        },
      },
    },
  );
}

/** The serial that each connection showed. */
const began = new WeakMap<object, string>();

interface StartTls {
  (this: TlsConnection, onSecure: (failed?: Error) => void): void;
  readonly [evidence]?: true;
}

interface TlsConnection {
  readonly config: { ssl: object; readonly host?: string };
  readonly stream: TLSSocket;
}

/**
 * `mysql2` has no option for who may answer. Its connections begin TLS by one method: for those of ours it is called with
 * certificates of that moment, and goes on once the server is judged. All others are as they were.
 */
function takeOverTls(mysql: MysqlModule): void {
  const { prototype } = (mysql?.Connection ?? {}) as { prototype?: { startTLS?: StartTls } };
  const startTls = prototype?.startTLS;
  if (prototype === undefined || typeof startTls !== 'function') {
    throw new CountersignError('ERR_IDENTITY_ADAPTER', 'mysql2: no Connection with startTLS in it');
  }
  if (startTls[evidence] === true) return;
  const startIdentityTls: StartTls = function startIdentityTls(onSecure) {
    const ours: Ours | undefined = Reflect.get(this.config.ssl, evidence);
    if (ours === undefined) return startTls.call(this, onSecure);
    const given = this.config.ssl;
    began.set(this, ours.source.svid().serialHex);
    // Of this connection alone: sessions are remembered by this object, and a resumed one shows no chain.
    this.config.ssl = momentary(ours);
    try {
      startTls.call(this, (failed) => {
        onSecure(failed ?? wrongServer(ours, this));
      });
    } finally {
      this.config.ssl = given;
    }
  };
  prototype.startTLS = Object.assign(startIdentityTls, { [evidence]: true as const });
}

function momentary({ source, rules }: Ours): object {
  const svid = source.svid();
  const authorities = source.bundle(svid.spiffeId.trustDomain)?.authorities ?? [];
  return {
    ...contextOptions(svid, rules.minVersion),
    ca: authorities.map((each) => encodePem('CERTIFICATE', each.raw)),
    rejectUnauthorized: true,
  };
}

function wrongServer({ tls }: Ours, { stream, config }: TlsConnection): Error | undefined {
  if (stream.isSessionReused()) {
    return new CountersignError('ERR_TLS_RESUMED_CHAIN_GONE', 'the server resumed a session');
  }
  const certificate: PeerCertificate = stream.getPeerCertificate(true);
  return tls.checkServerIdentity(config.host ?? 'localhost', certificate);
}

function singleOf(config: object): object {
  const pooled = ['waitForConnections', 'connectionLimit', 'maxIdle', 'idleTimeout', 'queueLimit'];
  return Object.fromEntries(Object.entries(config).filter(([name]) => !pooled.includes(name)));
}

async function proveConnection(made: object): Promise<void> {
  const connection = made as {
    query(text: string, done: Done): void;
    destroy(): void;
    on(event: string, listener: () => void): unknown;
  };
  connection.on('error', () => {});
  try {
    await new Promise<void>((resolve, reject) => {
      connection.query('SELECT 1', (failed) => (failed == null ? resolve() : reject(failed)));
    });
  } finally {
    connection.destroy();
  }
}
