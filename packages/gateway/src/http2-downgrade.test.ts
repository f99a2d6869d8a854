import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, rulesOf, startUpstream, startWorld } from './gateway-world.suite.ts';
import { beginHttp2, flagsOf, frame, literal } from './raw-frames.suite.ts';

const everything = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: everything }
spec: { action: ALLOW, rules: [{}] }
`;
const hidden = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

/** Fields that HTTP/2 can carry and HTTP/1.1 reads as something else (H2.CL, H2.TE, injected lines). */
const usual: Readonly<Record<string, string>> = {
  ':method': 'POST',
  ':scheme': 'https',
  ':path': '/case',
  ':authority': 'a.example',
};
const cases: readonly (readonly [string, string][])[] = [
  [['transfer-encoding', 'chunked']],
  [['Transfer-Encoding', 'chunked']],
  [['transfer_encoding', 'chunked']],
  [['content-length', '0']],
  [['content-length', '5']],
  [['content-length', '+0']],
  [
    ['content-length', '0'],
    ['content-length', String(hidden.length)],
  ],
  [['connection', 'transfer-encoding']],
  [['connection', 'close']],
  [['keep-alive', 'x']],
  [['proxy-connection', 'keep-alive']],
  [['upgrade', 'websocket']],
  [['te', 'chunked']],
  [['x', 'y\r\ntransfer-encoding: chunked']],
  [['x', 'y\ntransfer-encoding: chunked']],
  [['x', 'y\rtransfer-encoding: chunked']],
  [['x', 'y\u0000']],
  [['x\r\ntransfer-encoding', 'chunked']],
  [['x: y\r\ntransfer-encoding', 'chunked']],
  [['x y', 'z']],
  [['', 'z']],
  [['x:', 'z']],
  [[':path', '/case HTTP/1.1\r\nHost: b\r\n\r\nGET /smuggled']],
  [[':path', '/case /smuggled']],
  [[':path', '/case\t/smuggled']],
  [[':path', 'http://b/smuggled']],
  [[':path', '']],
  [[':method', 'GET /smuggled HTTP/1.1\r\nX:']],
  [[':method', 'GET /smuggled']],
  [[':method', 'post']],
  [[':method', '']],
  [[':authority', 'a.example\r\nX: y']],
  [[':authority', 'a.example b.example']],
  [[':authority', 'user@a.example']],
  [[':authority', '']],
  [['host', 'b.example']],
  [[':scheme', 'https\r\nX: y']],
  [[':unknown', 'x']],
  [
    [':path', '/case'],
    [':path', '/smuggled'],
  ],
];

test('what HTTP/2 can say and HTTP/1.1 would read as a second request never gets there', async (t) => {
  const seen: string[] = [];
  const upstream = await startUpstream(t, (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers['transfer-encoding'] ?? ''}`);
    request.resume();
    request.on('end', () => response.end('ok'));
  });
  const { gateway } = await startWorld(t, upstream.url, { rules: rulesOf(everything) });
  for (const [i, fields] of cases.entries()) {
    const path = `/case-${i}`;
    const names = new Set(fields.map(([name]) => name));
    const rest = Object.entries({ ...usual, ':path': path }).filter(([name]) => !names.has(name));
    const isPseudo = ([name]: readonly [string, string]) => name.startsWith(':');
    const all = [...rest, ...fields.filter(isPseudo), ...fields.filter((each) => !isPseudo(each))];
    const head = Buffer.concat(all.map(([name, value]) => literal(name, value)));
    const { socket, ended } = await beginHttp2(t, gateway.port, alice);
    let answered = (): void => {};
    const isAnswered = new Promise<void>((resolve) => {
      answered = resolve;
    });
    let received = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (isOver(received)) answered();
    });
    socket.write(frame('headers', flagsOf.endHeaders, 1, head));
    socket.write(frame('data', flagsOf.endStream, 1, Buffer.from(hidden)));
    await Promise.race([isAnswered, ended]);
    socket.destroy();
  }
  assert.deepEqual(
    seen.filter((line) => line.includes('/smuggled')),
    [],
  );
  for (const line of seen) assert.match(line, /^POST \/case-\d+ (?:chunked)?$/);
  const twice = seen.filter((line, i) => seen.indexOf(line) !== i);
  assert.deepEqual(twice, []);
});

/** Whether stream 1 was answered to its end, reset, or the connection is ended. */
function isOver(received: Buffer): boolean {
  for (let at = 0; at + 9 <= received.byteLength; at += 9 + received.readUIntBE(at, 3)) {
    const [type, flags, stream] = [
      received[at + 3],
      received[at + 4]!,
      received.readUInt32BE(at + 5),
    ];
    if (type === 7 || type === 3) return true;
    if (stream === 1 && (type === 0 || type === 1) && (flags & 1) !== 0) return true;
  }
  return false;
}
