/**
 * Messages that HTTP/1 servers read in different ways (RFC 9112 §2.2, §5, §6, §7, §11.2, and published classes of
 * request smuggling: CL.TE, TE.CL, TE.TE, CL.CL, CL.0, 0.CL, TE.0, chunk extensions, expectations, line ends, targets).
 * Each hides a second request: whoever forwards the message must refuse it, or forward one request that nobody can read
 * as two.
 */
export interface AmbiguousMessage {
  readonly name: string;
  /** Latin-1; a client writes it as it stands. */
  readonly text: string;
}

/** What must never be a request of its own. */
export const smuggledPath = '/smuggled';

const hidden = (host: string) => `GET ${smuggledPath} HTTP/1.1\r\nHost: ${host}\r\nX: y\r\n\r\n`;

/** @param host that the messages are for */
export function smugglingCorpus(host: string): readonly AmbiguousMessage[] {
  const all: AmbiguousMessage[] = [];
  const second = hidden(host);
  const add = (family: string, what: string, text: string): void => {
    const number = all.length;
    const name = `${number} ${family}: ${JSON.stringify(what)}`;
    all.push({ name, text: text.replaceAll('/case', `/case-${number}`) });
  };
  const post = (lines: string, body: string): string =>
    `POST /case HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n\r\n${body}`;
  const last = `0\r\n\r\n${second}`;

  // A reader of the length sees one request, a reader of the coding two; and the other way round.
  for (const value of codings) {
    const length = `Content-Length: ${last.length}`;
    add('CL.TE', value, post(`${length}\r\nTransfer-Encoding:${value}`, last));
    add('TE.CL', value, post(`Transfer-Encoding:${value}\r\n${length}`, last));
    // By itself it is chunked for everybody.
    const isPlain = /^[ \t]*chunked[ \t]*$/i.test(value);
    if (!isPlain) add('TE.TE', value, post(`Transfer-Encoding:${value}`, last));
    const both = `Transfer-Encoding: chunked\r\nTransfer-Encoding:${value}`;
    add('TE.TE twice', value, post(both, last));
  }
  for (const line of codingLines) {
    const body = `Content-Length: ${last.length}\r\n${line}`;
    add('CL.TE by line', line, post(body, last));
    add('TE by line', line, post(`${line}\r\nContent-Length: ${last.length}`, last));
  }
  for (const value of lengths) {
    add('length', value, post(`Content-Length:${value}`, second));
    add('length beside one', value, post(`Content-Length:${value}\r\nContent-Length: 0`, second));
  }
  for (const line of lengthLines) add('length by line', line, post(`${line}`, second));
  for (const [what, chunks] of chunkings(second)) {
    add('chunks', what, post('Transfer-Encoding: chunked', chunks));
  }
  for (const line of requestLines) {
    add('request line', line, `${line}\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`);
  }
  for (const line of targets) {
    add('target', line, `GET ${line} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  }
  for (const lines of hosts(host)) {
    add('host', lines, `GET /case HTTP/1.1\r\n${lines}Content-Length: 0\r\n\r\n`);
  }
  for (const lines of fields) {
    add('field', lines, `GET /case HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n\r\n`);
  }
  for (const lines of hops) {
    const length = `Content-Length: ${second.length}`;
    add('hop', lines, post(`${lines}\r\n${length}`, second));
    const last0 = 'Transfer-Encoding: chunked';
    add(
      'hop of chunks',
      lines,
      post(`${lines}\r\n${last0}`, `${hex(second.length)}\r\n${second}\r\n0\r\n\r\n`),
    );
  }
  for (const method of methods) {
    const head = `${method} /case HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${second.length}`;
    add('body of', method, `${head}\r\n\r\n${second}`);
  }
  return all;
}

const hex = (value: number) => value.toString(16);

/** Values of Transfer-Encoding, with what follows the colon. */
const codings = [
  ' chunked',
  ' Chunked',
  '\tchunked',
  '  chunked',
  ' chunked ',
  ' chunked\t',
  ' xchunked',
  ' chunkedx',
  ' chunked, identity',
  ' identity, chunked',
  ' identity',
  ' gzip, chunked',
  ' chunked, gzip',
  ' chunked, chunked',
  ' ,chunked',
  ' chunked,',
  ' chunked;q=1',
  ' "chunked"',
  " 'chunked'",
  ' \u000bchunked',
  ' chunked\u000b',
  ' \u000cchunked',
  ' \u0000chunked',
  ' chunked\u0000',
  ' chun\rked',
  ' \u00a0chunked',
  ' cow',
  '',
];

/** Whole lines that some readers take for a coding. */
const codingLines = [
  'Transfer-Encoding : chunked',
  'Transfer-Encoding\t: chunked',
  ' Transfer-Encoding: chunked',
  'Transfer-Encoding:\r\n chunked',
  'Transfer-Encoding:\n chunked',
  'Transfer_Encoding: chunked',
  'Transfer Encoding: chunked',
  'X: y\nTransfer-Encoding: chunked',
  'X: y\rTransfer-Encoding: chunked',
  'X: y\r\rTransfer-Encoding: chunked',
  'X: y\u0000\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding\u0000: chunked',
  'Transfer-Encoding\u000b: chunked',
  '\u0000Transfer-Encoding: chunked',
  'Transfer-Encoding',
  'Transfer-Encoding\r\n : chunked',
  'X-Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
  'Transfer-\u00c9ncoding: chunked',
];

/** Values of Content-Length whose reading differs, with what follows the colon. */
const lengths = [
  ' +6',
  ' -6',
  ' 6 6',
  ' 6,6',
  ' 6, 6',
  ' 6;6',
  ' 0x6',
  ' 6.0',
  ' 6e0',
  ' 6_0',
  ' \u000b6',
  ' 6\u000b',
  ' 6\u0000',
  ' \u00b2',
  ' 6\r',
  ' six',
  '',
  ' ',
  ' 99999999999999999999',
  ' 18446744073709551616',
  ' "6"',
];

const lengthLines = [
  'Content-Length : 6',
  'Content-Length\t: 6',
  ' Content-Length: 6',
  'Content-Length:\r\n 6',
  'Content-Length:\n 6',
  'X: y\nContent-Length: 6',
  'X: y\rContent-Length: 6',
  'Content-Length\u0000: 6',
  'Content Length: 6',
  'Content-Length: 6\r\nContent-Length: 7',
  'Content-Length: 6\r\nContent-Length: 6',
  'Content-Length: 6\r\nContent-length: 7',
  'Content-Length: 6\r\nX: y\r\nCONTENT-LENGTH: 0',
];

/** Bodies in chunks that are none, or end at different places for different readers. */
function chunkings(second: string): readonly (readonly [string, string])[] {
  const size = hex(second.length);
  const rest = `\r\n0\r\n\r\n`;
  const sized = (written: string): readonly [string, string] => [
    written,
    `${written}\r\n${second}${rest}`,
  ];
  return [
    ...[`0x${size}`, `+${size}`, `-${size}`, ` ${size}`, `${size} `, `\t${size}`].map(sized),
    ...[`${size}\u000b`, `${size}\u0000`, `${size}_`, `${size}.0`, `"${size}"`].map(sized),
    ...[`${size};\n`, `${size};a\n`, `${size};a=b\r`, `${size}\r`, `${size};a="\r\n"`].map(sized),
    ...[`${size} ;a`, `${size};a=\u0000`, `${size};\u000b`, `${size},${size}`].map(sized),
    ...[`FFFFFFFFFFFFFFFF${size}`, `10000000000000000${size}`, 'FFFFFFFFFFFFFFFF'].map(sized),
    ['bare line feed', `${size}\n${second}\n0\n\n`],
    ['bare carriage return', `${size}\r${second}\r0\r\r`],
    ['longer than said', `1\r\nab\r\n0\r\n\r\n${second}`],
    ['no end of a chunk', `2\r\nab0\r\n\r\n${second}`],
    ['another end of a chunk', `2\r\nabXX0\r\n\r\n${second}`],
    ['a line feed at the end of a chunk', `2\r\nab\n0\r\n\r\n${second}`],
    ['line feeds at the end', `0\n\n${second}`],
    ['a lone line feed at the end', `0\r\n\n${second}`],
    ['extension of the last', `0;\n\r\n\r\n${second}`],
    ['a space in the last', `0 x\r\n\r\n${second}`],
    ['a negative last', `-0\r\n\r\n${second}`],
    ['a hexadecimal last', `0x0\r\n\r\n${second}`],
    ['no last', `\r\n\r\n${second}`],
    ['an empty size', `\r\n${second}${rest}`],
    ['a trailer without a colon', `0\r\nX\r\n\r\n${second}`],
    ['a folded trailer', `0\r\nX: y\r\n z\r\n\r\n${second}`],
    ['a trailer with a line feed', `0\r\nX: y\nContent-Length: 5\r\n\r\n${second}`],
    ['a trailer with a zero byte', `0\r\nX: \u0000\r\n\r\n${second}`],
    ['a trailer with a space in its name', `0\r\nX : y\r\n\r\n${second}`],
  ];
}

const requestLines = [
  'GET  /case HTTP/1.1',
  'GET\t/case HTTP/1.1',
  'GET /case  HTTP/1.1',
  'GET /case\tHTTP/1.1',
  'GET /case HTTP/1.1 ',
  ' GET /case HTTP/1.1',
  'GET /case HTTP/1.1\t',
  'GET /case http/1.1',
  'GET /case HTTP/01.1',
  'GET /case HTTP/1.01',
  'GET /case HTTP/1.2',
  'GET /case HTTP/1.10',
  'GET /case HTTP/1',
  'GET /case HTTP/1.',
  'GET /case HTTP/2.0',
  'GET /case HTTP/3',
  'GET /case HTTP/0.9',
  'GET /case HTTP/1.0',
  'GET /case HTTPS/1.1',
  'GET /case ICAP/1.0',
  'GET /case',
  'GET',
  'get /case HTTP/1.1',
  'Get /case HTTP/1.1',
  'GET\u0000 /case HTTP/1.1',
  'G\u000bET /case HTTP/1.1',
  'GET /case\u000bHTTP/1.1',
  'GET /case HTTP/1.1\u0000',
  'GET /case HTTP/1.1\rX: y',
  `GET /case HTTP/1.1\nX: y\r\n\r\nGET ${smuggledPath} HTTP/1.1`,
  'QUERYX /case HTTP/1.1',
  '\u0000GET /case HTTP/1.1',
];

const targets = [
  'case',
  '',
  '*',
  '//case',
  '/case//x',
  '/case/./x',
  '/case/../smuggled',
  '/case/%2e%2e/smuggled',
  '/case/..;/smuggled',
  '/case/%2e%2e%2fsmuggled',
  '/case\\..\\smuggled',
  '/case#/smuggled',
  '/case%00/smuggled',
  '/case%0d%0aX:%20y',
  '/case%5c..%5csmuggled',
  '/case%zz',
  '/case%',
  '/case /smuggled',
  '/case\u0000',
  '/case\u007f',
  '/case\u00e9',
  '/case%c0%ae%c0%ae/smuggled',
  'http://other.example/smuggled',
  'https://other.example/smuggled',
  'http://user@other.example/smuggled',
  'other.example:443',
  '/case\u000b',
];

const hosts = (host: string) => [
  '',
  'Host:\r\n',
  'Host: \r\n',
  `Host: ${host}\r\nHost: ${host}\r\n`,
  `Host: ${host}\r\nHost: other.example\r\n`,
  `Host: ${host}\r\nhost: other.example\r\n`,
  `Host : ${host}\r\n`,
  ` Host: ${host}\r\n`,
  `X: y\r\n Host: ${host}\r\n`,
  `Host: ${host}, other.example\r\n`,
  `Host: ${host} other.example\r\n`,
  `Host: ${host}/smuggled\r\n`,
  `Host: ${host}?x\r\n`,
  `Host: ${host}#x\r\n`,
  `Host: user@${host}\r\n`,
  'Host: other.example:x\r\n',
  'Host: [::1\r\n',
  'Host: a\u0000b\r\n',
  'Host: \u00e9.example\r\n',
  `Host: ${host}\r\n other.example\r\n`,
  'Host: a%00b\r\n',
];

const fields = [
  'X: y\r\n z',
  'X: y\n Z: z',
  'X: y\nZ: z',
  'X: y\rZ: z',
  'X: y\u0000',
  'X\u0000: y',
  'X : y',
  'X\t: y',
  ': y',
  'X',
  'X y',
  '\u0001X: y',
  'X: \u0001',
  'X: \u007f',
  'X\u00e9: y',
  '(X): y',
  'X[: y',
  `X: y\n\nGET ${smuggledPath} HTTP/1.1`,
  `X: y\r\rGET ${smuggledPath} HTTP/1.1`,
  `X: y\r\n\nGET ${smuggledPath} HTTP/1.1`,
  `X: y\n\r\nGET ${smuggledPath} HTTP/1.1`,
];

/** What a proxy may take from the message, or wait for, before it is framed anew. */
const hops = [
  'Connection: content-length',
  'Connection: transfer-encoding',
  'Connection: close, content-length, transfer-encoding',
  'Connection: host',
  'Connection: keep-alive, Host',
  'Keep-Alive: content-length',
  'Proxy-Connection: content-length',
  'TE: chunked',
  'Trailer: Content-Length',
  'Expect: 100-continue',
  'Expect: 100-continue, x',
  'Expect: y 100-continue',
  'Expect:\t100-continue',
  'Expect: 100-Continue',
  'X-HTTP-Method-Override: GET',
  'Content-Encoding: chunked',
  'Content_Length: 0',
  'Content-Length_: 0',
];

const methods = ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'PUT', 'PATCH', 'CONNECT', 'LOCK'];
