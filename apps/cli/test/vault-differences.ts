import { request as plainRequest } from 'node:http';
import { request } from 'node:https';
import type { VaultCall } from './vault-calls.ts';

export interface VaultServer {
  /** Without `/v1`. */
  readonly url: string;
  readonly token: string;
  /** Of a server with TLS. */
  readonly ca?: string;
}

export interface Answered {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** Every call in turn; what they save is for the calls behind them. */
export async function runCalls(
  server: VaultServer,
  calls: readonly VaultCall[],
  given: Readonly<Record<string, string>>,
): Promise<Answered[]> {
  const saved = new Map(Object.entries({ ...given, root: server.token }));
  const answers: Answered[] = [];
  for (const call of calls) {
    const answer = await ask(server, call, saved);
    answers.push(answer);
    for (const [name, path] of Object.entries(call.save ?? {})) {
      const value = path
        .split('.')
        .reduce<unknown>((at, key) => Object(at)[key], jsonIn(answer.text));
      saved.set(name, String(value));
    }
  }
  return answers;
}

/** What differs in status, type, keys and their types; values are not looked at. Undefined: nothing. */
export function differenceOf(theirs: Answered, ours: Answered): string | undefined {
  if (theirs.status !== ours.status) return `status ${theirs.status}, ours ${ours.status}`;
  const [a, b] = [theirs.type.split(';')[0], ours.type.split(';')[0]];
  if (a !== b) return `type ${a}, ours ${b}`;
  if (a !== 'application/json') return undefined;
  return shapes(jsonIn(theirs.text), jsonIn(ours.text), '').join('; ') || undefined;
}

function shapes(theirs: unknown, ours: unknown, at: string): string[] {
  const [a, b] = [kindOf(theirs), kindOf(ours)];
  // Null, where something could be, says no more than an empty one.
  if (a !== b) return [`${at || 'answer'} is ${a}, ours ${b}`];
  if (a === 'list') {
    const [x, y] = [(theirs as unknown[])[0], (ours as unknown[])[0]];
    return x === undefined || y === undefined ? [] : shapes(x, y, `${at}[]`);
  }
  if (a !== 'object') return [];
  const [x, y] = [Object(theirs), Object(ours)];
  const keys = [...new Set([...Object.keys(x), ...Object.keys(y)])].map(
    (key) => [key, masked(key)] as const,
  );
  const found: string[] = [];
  for (const [key, shown] of keys) {
    const path = at === '' ? shown : `${at}.${shown}`;
    if (shown !== key) {
      const [first] = Object.values(y);
      found.push(...(first === undefined ? [] : shapes(Object.values(x)[0], first, path)));
    } else if (!(key in y)) found.push(`no ${path}`);
    else if (!(key in x)) found.push(`${path} is more`);
    else found.push(...shapes(x[key], y[key], path));
  }
  return [...new Set(found)];
}

/** Keys that are values: ids and mounts. */
function masked(key: string): string {
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-/.test(key)) return '<id>';
  return key;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'list' : typeof value;
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // What is no JSON has no shape.
    return undefined;
  }
}

function ask(
  { url, ca }: VaultServer,
  call: VaultCall,
  saved: ReadonlyMap<string, string>,
): Promise<Answered> {
  const fill = (text: string) =>
    text.replaceAll(/\{\{(\w+)\}\}/g, (_, name) => saved.get(name) ?? '');
  const filled = (value: unknown): unknown => {
    if (typeof value === 'string') return fill(value);
    if (Array.isArray(value)) return value.map(filled);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, filled(each)]));
  };
  const body = call.body === undefined ? undefined : JSON.stringify(filled(call.body));
  const token = call.token === 'none' ? undefined : saved.get(call.token ?? 'root');
  const headers: Record<string, string> = Object.fromEntries(
    Object.entries(call.headers ?? {}).map(([key, each]) => [key, fill(each)]),
  );
  if (token !== undefined) headers['x-vault-token'] = token;
  // Node sends no LIST: what other clients send so is asked for as they may as well.
  const isList = call.method === 'LIST';
  const path = `/v1/${fill(call.path)}${isList ? '?list=true' : ''}`;
  const options = {
    method: isList ? 'GET' : call.method,
    headers,
    agent: false as const,
    timeout: 30_000,
  };
  return new Promise((resolve, reject) => {
    const target = new URL(path, url);
    const asked = url.startsWith('https:')
      ? request(target, { ...options, ca })
      : plainRequest(target, options);
    asked.once('error', reject);
    asked.once('response', (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.once('error', reject);
      answer.once('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          type: answer.headers['content-type'] ?? '',
          text: Buffer.concat(parts).toString('utf8'),
        }),
      );
    });
    asked.end(body);
  });
}
