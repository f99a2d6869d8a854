import { createRequire } from 'node:module';
import { messageOf } from '@countersign/base';
import type { ASTNode, Environment } from '@marcbachmann/cel-js';
import type { RE2JS } from 're2js';

/** Loaded with the first condition: most authorities have none. */
const load = createRequire(import.meta.url);
const cel = () => load('@marcbachmann/cel-js') as typeof import('@marcbachmann/cel-js');
const re2 = () => load('re2js') as typeof import('re2js');

/** What a condition may ask about. What is not known yet (a token is made before its key) is undefined. */
export interface ConditionFacts {
  /** Empty where there is none. */
  readonly spiffeId: string;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  /** All of them, as `uri:spiffe://…`, `dns:…`, `ip:…`. */
  readonly names: readonly string[];
  readonly provisioner: string;
  readonly caller: string;
  /** The profile that is asked for by name; empty where none is. */
  readonly profile: string;
  /** Kind of the key: `ECDSA P-256`, `RSA 2048`, `Ed25519`. */
  readonly key: string | undefined;
  /** The lifetime asked for; 0 where none is. */
  readonly ttlSeconds: number | undefined;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** `failed`: why it has no answer. `unknown`: it asks about what is not known yet. */
export type ConditionAnswer = boolean | 'unknown' | { readonly failed: string };

/** A CEL expression that was checked and compiled: it answers yes or no, and its work is bounded. */
export interface Condition {
  readonly source: string;
  /** What it asks about. */
  readonly uses: readonly (keyof ConditionFacts)[];
  ask(facts: ConditionFacts): ConditionAnswer;
}

/** Types of the variables, in CEL. */
const variables = {
  spiffeId: 'string',
  dns: 'list<string>',
  ip: 'list<string>',
  names: 'list<string>',
  provisioner: 'string',
  caller: 'string',
  profile: 'string',
  key: 'string',
  ttlSeconds: 'int',
  at: 'google.protobuf.Timestamp',
} as const satisfies Record<keyof ConditionFacts, string>;

const limits = { maxAstNodes: 300, maxDepth: 24, maxListElements: 200, maxMapEntries: 50 };
const longestSource = 4000;
/** Each one more multiplies the work by the number of names. */
const deepestLoops = 2;
const loops: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/** `wrong`: what is wrong, and where in the expression. */
export function compileCondition(
  source: string,
):
  | { readonly ok: true; readonly condition: Condition }
  | { readonly ok: false; readonly wrong: string } {
  if (source.length > longestSource) {
    return {
      ok: false,
      wrong: `has ${source.length} characters, at most ${longestSource} are read`,
    };
  }
  try {
    return { ok: true, condition: compile(source) };
  } catch (thrown) {
    return { ok: false, wrong: reasonOf(thrown) };
  }
}

function compile(source: string): Condition {
  // 1. As written: names, types, and that it answers yes or no.
  const environment = newEnvironment(new Map());
  const { ast } = environment.parse(source);
  const { valid, type, error } = environment.check(source);
  if (!valid) throw error ?? new TypeError('is not valid');
  if (type !== 'bool') throw new TypeError(`gives ${type}, a condition gives bool`);

  // 2. Bounded: few loops within loops, and no regular expression that backtracks.
  const patterns = new Map<string, RE2JS>();
  const bounded = boundedTree(ast, patterns, 0);
  const run = newEnvironment(patterns).parse(cel().serialize(bounded));
  const uses = (Object.keys(variables) as (keyof ConditionFacts)[]).filter((name) =>
    mentions(ast, name),
  );

  return {
    source,
    uses,
    ask(facts) {
      if (uses.some((name) => facts[name] === undefined)) return 'unknown';
      try {
        const { ttlSeconds = 0, key = '', at } = facts;
        const answer: unknown = run({
          ...facts,
          key,
          ttlSeconds: BigInt(Math.floor(ttlSeconds)),
          at: new Date(at),
        });
        return answer === true;
      } catch (thrown) {
        return { failed: reasonOf(thrown) };
      }
    },
  };
}

/** `matches` of the library is JavaScript's, which backtracks: ours stands beside it under another name. */
const linearMatches = 'matchesInLinearTime';

function newEnvironment(patterns: ReadonlyMap<string, RE2JS>): Environment {
  const environment = new (cel().Environment)({ limits });
  for (const [name, type] of Object.entries(variables)) environment.registerVariable(name, type);
  environment.registerFunction(
    `string.${linearMatches}(string): bool`,
    (text: string, pattern: string) => patterns.get(pattern)?.matcher(text).find() === true,
  );
  return environment;
}

function boundedTree(node: ASTNode, patterns: Map<string, RE2JS>, depth: number): ASTNode {
  const isLoop = node.op === 'rcall' && loops.has(node.args[0]);
  if (isLoop && depth >= deepestLoops) {
    throw new TypeError(`has more than ${deepestLoops} of all, exists, map, filter in each other`);
  }
  const inner = depth + Number(isLoop);
  const isMatch = node.op === 'rcall' && node.args[0] === 'matches';
  if (isMatch) readPattern(node.args[2][0], patterns);
  const args = mapArgs(node.args, (each) => boundedTree(each, patterns, inner));
  if (isMatch && Array.isArray(args)) args[0] = linearMatches;
  return { ...node, op: node.op, args } as ASTNode;
}

function readPattern(node: ASTNode | undefined, patterns: Map<string, RE2JS>): void {
  if (node?.op !== 'value' || typeof node.args !== 'string') {
    throw new TypeError('has matches() of something other than a text in quotes');
  }
  try {
    patterns.set(node.args, re2().RE2JS.compile(node.args));
  } catch (thrown) {
    throw new TypeError(`has the pattern "${node.args}": ${messageOf(thrown)}`);
  }
}

function mapArgs(args: unknown, map: (node: ASTNode) => ASTNode): unknown {
  if (Array.isArray(args)) return args.map((each) => mapArgs(each, map));
  return isNode(args) ? map(args) : args;
}

function mentions(node: ASTNode, name: string): boolean {
  if (node.op === 'id') return node.args === name;
  const within = (args: unknown): boolean => {
    if (Array.isArray(args)) return args.some(within);
    return isNode(args) && mentions(args, name);
  };
  return within(node.args);
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value;
}

/** The first line: what follows it is the expression again, with a mark below the place. */
function reasonOf(thrown: unknown): string {
  const [first = ''] = messageOf(thrown).split('\n');
  const { range } = thrown as { readonly range?: { readonly start: number } };
  const at = range === undefined ? '' : ` at character ${range.start + 1}`;
  return `${first.charAt(0).toLowerCase()}${first.slice(1)}${at}`;
}
