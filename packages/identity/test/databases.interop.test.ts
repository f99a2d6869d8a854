import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import {
  type ForeignCommand,
  type ForeignServer,
  foreignPackage,
  mariadbCommand,
  natsCommand,
  postgresCommand,
  redisCommand,
  startForeign,
} from '@countersign/testkit';
import { ioRedis } from '../src/adapt/ioredis.ts';
import {
  clientId,
  LiveWorld,
  localNames,
  type RotatingForTest,
  serverId,
} from '../src/adapt/live-world.suite.ts';
import { mysqlPool } from '../src/adapt/mysql2.ts';
import { natsTls } from '../src/adapt/nats.ts';
import { pgPool } from '../src/adapt/pg.ts';

const user = [{ type: 'CN', value: 'payments' }] as const;
const allow = [serverId];
const wrong = { allow: ['spiffe://example.com/ns/prod/sa/other'] };

type Query = () => Promise<unknown>;

test('a pool of pg keeps working through two rotations under load, and its connections are replaced', async (t) => {
  const command = await postgresCommand();
  const pg = await foreignPackage<PgForTest>('pg');
  if (typeof command === 'string' || typeof pg === 'string') {
    return t.skip(String(typeof command === 'string' ? command : pg));
  }
  await withServer(command, async ({ server, client }) => {
    const config = { host: 'localhost', port: server.port, user: 'payments', database: 'postgres' };
    const admin = pgPool(pg, client('postgres'), { ...config, user: 'postgres' }, { allow });
    await admin.query('CREATE ROLE payments LOGIN');
    const live = client('payments');
    const pool = pgPool(pg, live, { ...config, max: 6 }, { allow });
    pool.on('error', (thrown) => assert.fail(thrown));
    const serials = async () => {
      const found = await admin.query(
        "SELECT s.client_serial::text AS serial FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'payments'",
      );
      return found.rows.map((row) => BigInt(row.serial ?? 0).toString(16));
    };
    await underLoad(
      async () => {
        const { rows } = await pool.query('SELECT pg_sleep(0.002), 1 AS one');
        assert.equal(rows[0]?.one, 1);
      },
      6,
      live,
      async (serial) => assertAll(await serials(), serial),
    );
    assert.throws(
      () => pgPool(pg, live, { ...config, connectionString: 'postgres://x/?sslmode=disable' }),
      {
        code: 'ERR_USAGE',
      },
    );
    const misled = pgPool(pg, live, config, wrong);
    await assert.rejects(misled.query('SELECT 1'), { code: 'ERR_PEER_UNEXPECTED' });
    const stranger = new LiveWorld().identity(clientId, [], user);
    await assert.rejects(pgPool(pg, stranger, config, { allow }).query('SELECT 1'));
    await Promise.all([pool.end(), admin.end(), misled.end()]);
  });
});

test('a pool of mysql2 keeps working through two rotations under load, and its connections are replaced', async (t) => {
  const command = mariadbCommand(
    "CREATE USER payments@'%' REQUIRE X509; CREATE USER watcher@'%' REQUIRE X509; GRANT ALL ON *.* TO watcher@'%';",
  );
  const mysql = await foreignPackage<MysqlForTest>('mysql2');
  if (typeof command === 'string' || typeof mysql === 'string') {
    return t.skip(String(typeof command === 'string' ? command : mysql));
  }
  await withServer(command, async ({ server, client }) => {
    const config = { host: 'localhost', port: server.port };
    const live = client('payments');
    const pool = mysqlPool(
      mysql,
      live,
      { ...config, user: 'payments', connectionLimit: 6 },
      { allow },
    );
    const ids = new Map<string, Set<number>>();
    await underLoad(
      async () => {
        const serial = live.svid().serialHex;
        const [rows] = await pool.promise().query('SELECT SLEEP(0.002), CONNECTION_ID() AS id');
        const seen = ids.get(serial) ?? new Set();
        ids.set(serial, seen.add(Number(rows[0]?.id)));
      },
      6,
      live,
      async () => {
        // Connections of before are gone: none of their numbers is in use.
        const watcher = mysqlPool(mysql, live, { ...config, user: 'watcher' }, { allow });
        const [rows] = await watcher
          .promise()
          .query("SELECT ID AS id FROM information_schema.processlist WHERE USER = 'payments'");
        await watcher.promise().end();
        const before = [...ids].filter(([serial]) => serial !== live.svid().serialHex);
        const old = new Set(before.flatMap(([, seen]) => [...seen]));
        return !rows.some(({ id }) => old.has(Number(id)));
      },
    );
    const misled = mysqlPool(mysql, live, { ...config, user: 'payments' }, wrong);
    await assert.rejects(misled.promise().query('SELECT 1'), /peer is "spiffe:\/\/.*orders"/);
    // Those that are none of ours are as they were.
    const plain = mysql.createPool({ ...config, user: 'payments', ssl: {} });
    await assert.rejects(plain.promise().query('SELECT 1'), /certificate/);
    await Promise.all([pool, misled, plain].map((each) => each.promise().end()));
  });
});

test('a client of ioredis keeps working through two rotations, and no command is lost or sent twice', async (t) => {
  const command = redisCommand();
  const ioredis = await foreignPackage<RedisForTest>('ioredis');
  if (typeof command === 'string' || typeof ioredis === 'string') {
    return t.skip(String(typeof command === 'string' ? command : ioredis));
  }
  await withServer(command, async ({ server, client }) => {
    const live = client('payments');
    const redis = ioRedis(ioredis, live, { host: 'localhost', port: server.port }, { allow });
    redis.on('error', (thrown: Error) => assert.fail(thrown));
    let asked = 0;
    let connection = await redis.client('ID');
    const connections = [connection];
    await underLoad(
      async () => {
        asked += 1;
        await redis.incr('count');
      },
      6,
      live,
      async () => {
        const now = await redis.client('ID');
        if (now === connection) return false;
        connection = now;
        connections.push(now);
        return true;
      },
    );
    assert.equal(Number(await redis.get('count')), asked);
    assert.equal(new Set(connections).size, 3);
    const misled = ioRedis(
      ioredis,
      live,
      { host: 'localhost', port: server.port, maxRetriesPerRequest: 0 },
      wrong,
    );
    const told = new Promise((resolve) => misled.on('error', resolve));
    await assert.rejects(misled.get('count'));
    assert.equal(((await told) as { code?: string }).code, 'ERR_PEER_UNEXPECTED');
    misled.disconnect();
    await redis.quit();
  });
});

test('a connection to NATS stays through two rotations, and the next one shows the newest certificate', async (t) => {
  const command = natsCommand();
  const nats = await foreignPackage<NatsForTest>('@nats-io/transport-node');
  if (typeof command === 'string' || typeof nats === 'string') {
    return t.skip(String(typeof command === 'string' ? command : nats));
  }
  await withServer(command, async ({ server, client }) => {
    const live = client('payments');
    const servers = `localhost:${server.port}`;
    const connection = await nats.connect({
      servers,
      tls: natsTls(live, { allow }),
      reconnectTimeWait: 50,
    });
    const answering = connection.subscribe('echo', {
      callback: (failed, message) => {
        if (failed === null) message.respond(message.data);
      },
    });
    await underLoad(
      async () => {
        await connection.request('echo', 'x');
      },
      4,
      live,
      async () => true,
    );
    await connection.reconnect();
    await eventually(() => connection.request('echo', 'x'));
    answering.unsubscribe();
    await connection.close();
    await assert.rejects(nats.connect({ servers, tls: natsTls(live, wrong), reconnect: false }), {
      code: 'ERR_PEER_UNEXPECTED',
    });
    assert.throws(() => natsTls(live, {}), { code: 'ERR_USAGE' });
  });
});

async function withServer(
  command: ForeignCommand,
  use: (given: {
    server: ForeignServer;
    client: (name: string) => RotatingForTest;
  }) => Promise<void>,
): Promise<void> {
  const world = new LiveWorld();
  const server = await startForeign(command, world.identity(serverId, localNames).current());
  try {
    await use({
      server,
      client: (value) => world.identity(clientId, [], [{ type: 'CN', value }]),
    });
  } finally {
    await server.stop();
  }
}

/** So many ask without pause while the identity rotates twice; every answer must be one. */
async function underLoad(
  query: Query,
  askers: number,
  live: RotatingForTest,
  isReplaced: (serial: string) => Promise<boolean>,
): Promise<void> {
  let isOver = false;
  let answered = 0;
  const asking = Array.from({ length: askers }, async () => {
    while (!isOver) {
      await query();
      answered += 1;
    }
  });
  const failed = Promise.all(asking).then(() => undefined);
  const rotateTwice = async () => {
    for (let i = 0; i < 2; i += 1) {
      const before = answered;
      while (answered < before + 50) await systemClock.sleep(5);
      live.rotate();
      const { serialHex } = live.svid();
      for (let tries = 0; !(await isReplaced(serialHex)); tries += 1) {
        assert.ok(tries < 600, 'connections of before are still there');
        await systemClock.sleep(50);
      }
    }
  };
  try {
    await Promise.race([rotateTwice(), failed]);
  } finally {
    isOver = true;
  }
  await failed;
}

/** NATS tells that it reconnects, not that its subscriptions are there again. */
async function eventually(ask: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await ask();
      return;
    } catch (thrown) {
      if (tries === 30) throw thrown;
    }
  }
}

function assertAll(found: readonly string[], serial: string): boolean {
  return found.length > 0 && found.every((each) => each === serial.replace(/^0+/, ''));
}

interface PgForTest {
  readonly Pool: new (
    config: object,
  ) => {
    on(event: 'error', listener: (thrown: Error) => void): unknown;
    query(text: string): Promise<{ readonly rows: readonly Record<string, string | number>[] }>;
    end(): Promise<void>;
  };
  readonly Client: new (config: object) => object;
}

interface MysqlForTest {
  createPool(config: object): {
    promise(): { query(text: string): Promise<[Record<string, unknown>[]]>; end(): Promise<void> };
  };
  createConnection(config: object): object;
  readonly Connection: unknown;
}

type RedisForTest = new (
  options: object,
) => {
  on(event: string, listener: (thrown: Error) => void): unknown;
  client(word: string): Promise<number>;
  incr(key: string): Promise<number>;
  get(key: string): Promise<string>;
  quit(): Promise<unknown>;
  disconnect(): void;
};

interface NatsForTest {
  connect(options: object): Promise<{
    subscribe(
      subject: string,
      options: {
        callback: (
          failed: Error | null,
          message: { data: unknown; respond(data: unknown): void },
        ) => void;
      },
    ): { unsubscribe(): void };
    request(subject: string, data: string): Promise<unknown>;
    reconnect(): Promise<void>;
    close(): Promise<void>;
  }>;
}
