import assert from 'node:assert/strict';
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { systemClock } from '@countersign/base';
import type { ValidationConfig } from '../acme-config.ts';
import type { LookedAtChallenge } from '../acme-objects.ts';
import { ClaimValidators } from './validators.ts';

const answerHead = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n';

/** What stands where a validation looks, and how it ends. None of them may hold it for longer than its time. */
const targets: readonly (readonly [
  string,
  LookedAtChallenge,
  (socket: Socket) => void,
  string,
  RegExp,
])[] = [
  ['never answers', 'http-01', () => {}, 'connection', /no answer in time/],
  [
    'hangs up',
    'http-01',
    (socket) => void socket.destroy(),
    'connection',
    /ECONNRESET|no HTTP answer/,
  ],
  [
    'answers with what is no HTTP',
    'http-01',
    (socket) => void socket.end('SSH-2.0-x\r\n\r\n'),
    'connection',
    /HPE_/,
  ],
  [
    'streams forever',
    'http-01',
    (socket) => stream(socket, `${answerHead}\r\n`, 'x'.repeat(1024)),
    'unauthorized',
    /answered "x{80}"/,
  ],
  [
    'drips a body forever',
    'http-01',
    (socket) => drip(socket, `${answerHead}\r\n`, 'x'),
    'connection',
    /no answer in time/,
  ],
  [
    'drips headers forever',
    'http-01',
    (socket) => drip(socket, answerHead, 'x-drip: 1\r\n'),
    'connection',
    /no answer in time/,
  ],
  [
    'sends headers without end',
    'http-01',
    (socket) => stream(socket, answerHead, `x-much: ${'x'.repeat(1000)}\r\n`),
    'connection',
    /HPE_HEADER_OVERFLOW/,
  ],
  [
    'redirects to itself forever',
    'http-01',
    (socket) => void socket.end('HTTP/1.1 302 Found\r\nlocation: ?again\r\n\r\n'),
    'connection',
    /more than 10 redirects/,
  ],
  [
    'redirects to loopback',
    'http-01',
    (socket) => void socket.end('HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\n\r\n'),
    'dns',
    /"127\.0\.0\.1" has no address that may be connected to/,
  ],
  [
    'redirects to loopback by a name',
    'http-01',
    (socket) => void socket.end('HTTP/1.1 302 Found\r\nlocation: http://x.localhost/\r\n\r\n'),
    'dns',
    /"x\.localhost" has no address that may be connected to/,
  ],
  ['never shakes hands', 'tls-alpn-01', () => {}, 'connection', /no answer in time/],
  [
    'shakes no hands',
    'tls-alpn-01',
    (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    'tls',
    /ERR_SSL/,
  ],
];

describe('hostile targets of ACME validations', () => {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  let resolver: DatagramSocket | undefined;
  after(() => {
    for (const each of servers) each.close();
    for (const each of sockets) each.destroy();
    resolver?.close();
  });

  // Of all loopback one address alone may be connected to: the others are what is guarded.
  const host = '127.0.0.2';
  const isLinux = process.platform === 'linux';
  const skip = isLinux ? false : 'only Linux has every address of 127.0.0.0/8';

  async function validate(type: LookedAtChallenge, port: number, vantages: string[][] = [[]]) {
    const config: ValidationConfig = {
      ...{ httpPort: port, tlsAlpnPort: port, vantages, mayFail: 0, allow: [`${host}/32`] },
      ...{ isOpen: false, timeoutMs: 400, retryMs: [], sleepMs: 0, alwaysValid: false },
    };
    const identifier =
      vantages[0]?.length === 0
        ? ({ type: 'ip', value: host } as const)
        : ({ type: 'dns', value: 'name.test' } as const);
    const claim = { type, identifier, token: 'token', keyAuthorization: 'token.x', account: 'a' };
    return await new ClaimValidators(config, systemClock).validate(
      claim,
      new AbortController().signal,
    );
  }

  for (const [what, type, behave, problem, detail] of targets) {
    it(`one that ${what} is told of, and costs no more than its time`, { skip }, async () => {
      const server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => {});
        behave(socket);
      });
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      const found = await validate(type, (server.address() as AddressInfo).port);
      assert.equal(found?.type, problem, JSON.stringify(found));
      assert.match(found?.detail ?? '', detail);
    });
  }

  it('a resolver that never answers is told of', async () => {
    resolver = createSocket('udp4');
    await new Promise<void>((resolve) => resolver?.bind(0, '127.0.0.1', resolve));
    const silent = [[`127.0.0.1:${resolver.address().port}`]];
    for (const type of ['dns-01', 'http-01'] as const) {
      const found = await validate(type, 1, silent);
      assert.match(String(found?.type), /^(?:dns|connection)$/, JSON.stringify(found));
    }
  });
});

/** As fast as it is taken. */
function stream(socket: Socket, head: string, part: string): void {
  socket.write(head);
  const more = () => {
    while (!socket.destroyed && socket.write(part));
  };
  socket.on('drain', more);
  more();
}

function drip(socket: Socket, head: string, part: string): void {
  socket.write(head);
  const timer = setInterval(() => socket.write(part), 50);
  socket.once('close', () => clearInterval(timer));
}
