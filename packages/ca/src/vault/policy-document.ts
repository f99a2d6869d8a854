import { quotedList } from '../dns-name.ts';

export const capabilities = [
  'create',
  'read',
  'update',
  'patch',
  'delete',
  'list',
  'sudo',
  'deny',
] as const;
export type Capability = (typeof capabilities)[number];

/** One `path` of a policy. */
export interface PathRule {
  /** May end in `*`, and have `+` for a segment. */
  readonly path: string;
  readonly capabilities: ReadonlySet<Capability>;
}

export type ReadPolicy =
  | { readonly ok: true; readonly rules: readonly PathRule[] }
  | { readonly ok: false; readonly wrong: string };

const mostText = 64 * 1024;
const mostRules = 1000;

/** Reads a policy as it is written for that API: blocks `path "…" { capabilities = […] }`, or the same in JSON. */
export function readPolicy(text: string): ReadPolicy {
  if (text.length > mostText)
    return { ok: false, wrong: `it has more than ${mostText} characters` };
  try {
    const written = /^\s*\{/.test(text) ? ofJson(text) : new PolicyReader(text).paths();
    if (written.length > mostRules) throw new PolicyWrong(`it has more than ${mostRules} paths`);
    return { ok: true, rules: written.map(ruleOf) };
  } catch (thrown) {
    if (thrown instanceof PolicyWrong) return { ok: false, wrong: thrown.message };
    throw thrown;
  }
}

interface WrittenPath {
  readonly path: string;
  readonly settings: ReadonlyMap<string, unknown>;
}

class PolicyWrong extends Error {}

/** The words of before there were capabilities. */
const oldPolicies: Readonly<Record<string, readonly Capability[]>> = {
  deny: ['deny'],
  read: ['read', 'list'],
  write: ['create', 'read', 'update', 'delete', 'list'],
  sudo: ['create', 'read', 'update', 'delete', 'list', 'sudo'],
};

function ruleOf({ path, settings }: WrittenPath): PathRule {
  // What bounds a caller and is not done would leave it unbounded.
  for (const name of settings.keys()) {
    if (['capabilities', 'policy', 'comment'].includes(name)) continue;
    throw new PolicyWrong(`"${name}" of path "${path}" is not supported`);
  }
  if (path.includes('{{'))
    throw new PolicyWrong(`path "${path}" is a template, which is not supported`);
  if (path.slice(0, -1).includes('*'))
    throw new PolicyWrong(`path "${path}": "*" stands at the end alone`);
  const written = settings.get('capabilities') ?? [];
  if (!Array.isArray(written)) throw new PolicyWrong(`capabilities of path "${path}" are no list`);
  const old = settings.get('policy');
  const given = new Set<Capability>(old === undefined ? [] : oldPolicies[String(old)]);
  if (old !== undefined && given.size === 0)
    throw new PolicyWrong(`path "${path}": invalid policy "${String(old)}"`);
  for (const word of written) {
    const known = capabilities.find((each) => each === word);
    if (known === undefined) {
      throw new PolicyWrong(
        `path "${path}": invalid capability "${String(word)}", there is ${quotedList(capabilities)}`,
      );
    }
    given.add(known);
  }
  return { path: path.replace(/^\//, ''), capabilities: given };
}

function ofJson(text: string): WrittenPath[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new PolicyWrong('it is no JSON');
  }
  const { path, ...more } = json as Record<string, unknown>;
  const [other] = Object.keys(more).filter((each) => each !== 'name');
  if (other !== undefined) throw new PolicyWrong(`"${other}" is not supported`);
  // One path, or a list of such objects: both are written.
  const groups = Array.isArray(path) ? path : [path ?? {}];
  return groups.flatMap((group) =>
    Object.entries(Object(group)).map(([name, settings]) => ({
      path: name,
      settings: new Map(Object.entries(Object([settings].flat()[0]))),
    })),
  );
}

/** HCL, as far as policies use it. */
class PolicyReader {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(text: string) {
    const found: string[] = [];
    const words =
      /\s+|#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\/|("(?:[^"\\\n]|\\.)*")|([A-Za-z_][A-Za-z0-9_-]*|-?\d+)|([{}[\]=,])/gy;
    let end = 0;
    for (const match of text.matchAll(words)) {
      end = match.index + match[0].length;
      const token = match[1] ?? match[2] ?? match[3];
      if (token !== undefined) found.push(token);
    }
    if (end < text.length)
      throw new PolicyWrong(`"${text.slice(end, end + 20)}" is not understood`);
    this.#tokens = found;
  }

  paths(): WrittenPath[] {
    const paths: WrittenPath[] = [];
    while (this.#at < this.#tokens.length) {
      const word = this.#next();
      if (word === 'name') {
        this.#expect('=');
        this.#next();
        continue;
      }
      if (word !== 'path' && word !== '"path"') throw new PolicyWrong(`invalid key "${word}"`);
      const path = this.#text();
      this.#expect('{');
      const settings = new Map<string, unknown>();
      for (let key = this.#next(); key !== '}'; key = this.#next()) {
        const isBlock = this.#peek() === '{';
        if (!isBlock) this.#expect('=');
        if (isBlock || this.#peek() === '{') {
          throw new PolicyWrong(`"${key}" of path "${path}" is not supported`);
        }
        settings.set(key.startsWith('"') ? unquoted(key) : key, this.#value());
      }
      paths.push({ path, settings });
    }
    return paths;
  }

  #value(): unknown {
    if (this.#peek() !== '[') return this.#text();
    this.#next();
    const values: string[] = [];
    while (this.#peek() !== ']') {
      values.push(this.#text());
      if (this.#peek() === ',') this.#next();
    }
    this.#next();
    return values;
  }

  #text(): string {
    const token = this.#next();
    if (token.startsWith('"')) return unquoted(token);
    throw new PolicyWrong(`expected a string, found "${token}"`);
  }

  #expect(wanted: string): void {
    const found = this.#next();
    if (found !== wanted) throw new PolicyWrong(`expected "${wanted}", found "${found}"`);
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  #next(): string {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new PolicyWrong('it ends amid a path');
    return token;
  }
}

function unquoted(token: string): string {
  return token.slice(1, -1).replaceAll(/\\(.)/g, '$1');
}
