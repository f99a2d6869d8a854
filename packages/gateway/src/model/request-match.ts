import type { RequestHead } from '../request-head.ts';
import { type TextMatch, type TextTest, textTest } from './text-match.ts';

/** Which requests a route takes: all that is given has to hold. */
export interface RequestMatch {
  readonly path: PathMatch;
  readonly method?: TextMatch;
  readonly scheme?: TextMatch;
  /** The host with its port, as the client wrote it. */
  readonly authority?: TextMatch;
  readonly headers?: readonly HeaderMatch[];
  readonly query?: readonly QueryMatch[];
  /** The port that the client connected to. */
  readonly port?: number;
}

/** Without the query. `segments`: a prefix of whole segments, `/api` covers `/api` and `/api/x`, not `/apix`. */
export type PathMatch =
  | {
      readonly kind: 'exact' | 'prefix' | 'segments';
      readonly text: string;
      readonly ignoreCase?: boolean;
    }
  | { readonly kind: 'regex'; readonly text: string };

export interface HeaderMatch {
  /** Lowercase. */
  readonly name: string;
  /** Lines of the same name are one value, joined by commas. */
  readonly value: TextMatch;
  /** What must not hold; a header that is not there does not. */
  readonly invert?: boolean;
  /** Whether it holds of a request without that header; absent: only what must not hold does. */
  readonly whenAbsent?: boolean;
}

export interface QueryMatch {
  readonly name: string;
  /** The first value, percent-encoded as sent. */
  readonly value: TextMatch;
}

/** What is known of a request when its route is looked for; nothing is allocated for it. */
export interface RoutedRequest {
  readonly head: RequestHead;
  /** Names and values alternating. */
  readonly rawHeaders: readonly string[];
  readonly scheme: 'http' | 'https';
  readonly port: number;
}

export type RequestTest = (request: RoutedRequest) => boolean;

/** @throws SyntaxError for an expression that is none */
export function requestTest(match: RequestMatch): RequestTest {
  const tests = [...pathTests(match.path), ...otherTests(match)];
  const [first, second] = tests;
  if (first === undefined) return () => true;
  if (second === undefined) return first;
  return (request) => tests.every((test) => test(request));
}

/** Whether `path` lies under `prefix`, by whole segments. */
export function isUnder(prefix: string, path: string): boolean {
  if (!path.startsWith(prefix)) return false;
  return prefix.endsWith('/') || path.length === prefix.length || path[prefix.length] === '/';
}

/** All lines of a header in one, joined by commas; undefined where there is none. @param name lowercase */
export function headerValue(rawHeaders: readonly string[], name: string): string | undefined {
  let value: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const written = rawHeaders[i] ?? '';
    if (written.length !== name.length || written.toLowerCase() !== name) continue;
    const line = rawHeaders[i + 1] ?? '';
    value = value === undefined ? line : `${value},${line}`;
  }
  return value;
}

/** @param query with its `?` */
export function queryValue(query: string, name: string): string | undefined {
  let at = 1;
  while (at < query.length) {
    const end = endOf(query, at);
    const equals = query.indexOf('=', at);
    const isPair = equals !== -1 && equals < end;
    if (query.slice(at, isPair ? equals : end) === name) {
      return isPair ? query.slice(equals + 1, end) : '';
    }
    at = end + 1;
  }
  return undefined;
}

function endOf(query: string, from: number): number {
  const end = query.indexOf('&', from);
  return end === -1 ? query.length : end;
}

function pathTests(path: PathMatch): RequestTest[] {
  if (path.kind === 'regex') {
    const test = textTest(path);
    return [({ head }) => test(head.target.path)];
  }
  const { kind, text, ignoreCase = false } = path;
  if (kind !== 'exact' && text === '/') return [];
  if (kind !== 'segments') {
    const test = textTest({ kind, text, ignoreCase });
    return [({ head }) => test(head.target.path)];
  }
  if (!ignoreCase) return [({ head }) => isUnder(text, head.target.path)];
  const lower = text.toLowerCase();
  return [({ head }) => isUnder(lower, head.target.path.toLowerCase())];
}

function otherTests(match: RequestMatch): RequestTest[] {
  const { method, scheme, authority, headers = [], query = [], port } = match;
  const tests: RequestTest[] = [];
  const plain: readonly [TextMatch | undefined, (request: RoutedRequest) => string][] = [
    [method, ({ head }) => head.method],
    [scheme, (request) => request.scheme],
    [authority, ({ head }) => head.authority],
  ];
  for (const [wanted, partOf] of plain) {
    if (wanted === undefined) continue;
    const test = textTest(wanted);
    tests.push((request) => test(partOf(request)));
  }
  if (port !== undefined) tests.push((request) => request.port === port);
  tests.push(...headers.map(headerTest), ...query.map(queryTest));
  return tests;
}

/** @throws SyntaxError for an expression that is none */
export function headerTest({
  name,
  value,
  invert = false,
  whenAbsent = invert,
}: HeaderMatch): RequestTest {
  const test = textTest(value);
  const partOf = pseudoValues[name] ?? (({ rawHeaders }) => headerValue(rawHeaders, name));
  return (request) => {
    const found = partOf(request);
    return found === undefined ? whenAbsent : test(found) !== invert;
  };
}

/** What HTTP/2 writes among its headers, for requests of any version. */
const pseudoValues: Readonly<Record<string, (request: RoutedRequest) => string>> = {
  ':method': ({ head }) => head.method,
  ':path': ({ head }) => head.target.path + head.target.query,
  ':authority': ({ head }) => head.authority,
  ':scheme': ({ scheme }) => scheme,
  host: ({ head }) => head.authority,
};

function queryTest({ name, value }: QueryMatch): RequestTest {
  const test = present(textTest(value));
  return ({ head }) => test(queryValue(head.target.query, name));
}

function present(test: TextTest): (value: string | undefined) => boolean {
  return (value) => value !== undefined && test(value);
}
