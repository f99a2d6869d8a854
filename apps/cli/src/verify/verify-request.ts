import { CountersignError, fromBase64, nearestWord } from '@countersign/base';
import type { Certificate, Crl, ExpectedName, PathRequest, PolicyInputs } from '@countersign/x509';
import { certificatesOf, crlsOf, within } from '../read-certificates.ts';
import { parseRfc3339 } from '../rfc3339.ts';

const keys = [
  'id',
  'chain',
  'untrusted',
  'anchors',
  'crls',
  'at',
  'purpose',
  'names',
  'maxDepth',
  'policy',
] as const;

const policyKeys = [
  'initialPolicySet',
  'requireExplicitPolicy',
  'inhibitPolicyMapping',
  'inhibitAnyPolicy',
] as const;

const nameKinds = ['dns', 'ip', 'email', 'spiffe'] as const;

export interface VerifyRequest {
  readonly question: PathRequest;
  /** Why entries could not be read that only help: the path is looked for without them. */
  readonly passedOver: readonly string[];
}

/**
 * Turns one line of `verify --batch`, decoded, into a question for the path validation. A field that is absent, null
 * or an empty list asks for no such check, with one exception that a validation cannot do without: an absent `at` is
 * `now`.
 *
 * @throws CountersignError ERR_CLI_REQUEST, ERR_CLI_TIME, and the codes of what a certificate or list is refused with
 */
export function readVerifyRequest(
  request: unknown,
  cache: CertificateCache,
  now: number,
): VerifyRequest {
  if (!isObject(request)) throw refused('the line is no JSON object');
  const line = fieldsOf(request, keys, 'key');
  const chain = listOf('chain', line.chain);
  const [leaf, ...presented] = cache.certificates('chain', chain.slice(0, 1));
  if (leaf === undefined) throw refused('"chain" is absent or empty, it must hold the leaf');
  const above = cache.helpers('chain', chain, 1);
  const untrusted = cache.helpers('untrusted', listOf('untrusted', line.untrusted));
  const lists = listOf('crls', line.crls);
  const crls = cache.crls('crls', lists);
  const purpose = purposeOf(line.purpose);
  const names = namesOf(line.names);
  const maxDepth = maxDepthOf(line.maxDepth);
  const policies = policiesOf(line.policy);
  const question: PathRequest = {
    leaf,
    intermediates: [...presented, ...above.read, ...untrusted.read],
    anchors: cache.certificates('anchors', listOf('anchors', line.anchors)),
    at: line.at === undefined ? now : parseRfc3339(textOf('at', line.at)),
    // given, they must cover the path, whether or not they can be read
    ...(lists.length > 0 && { crls: crls.read }),
    ...(purpose !== undefined && { purpose }),
    ...(names.length > 0 && { names }),
    ...(maxDepth !== undefined && { maxDepth }),
    ...(policies !== undefined && { policies }),
  };
  const passedOver = [above, untrusted, crls].flatMap((field) => field.passedOver);
  return { question, passedOver };
}

/** Entries already parsed, by their text: batches repeat the same anchors and intermediates line after line. */
export class CertificateCache {
  readonly #certificates = new Map<string, readonly Certificate[]>();
  readonly #crls = new Map<string, readonly Crl[]>();

  certificates(field: string, entries: readonly string[]): Certificate[] {
    return entries.flatMap((entry, i) =>
      readOnce(this.#certificates, `${field}[${i}]`, entry, certificatesOf),
    );
  }

  /** Entries from the `first` on that can be read: anybody may have put the others there. */
  helpers(field: string, entries: readonly string[], first = 0): Readable<Certificate> {
    return readable(field, entries, first, (where, entry) =>
      readOnce(this.#certificates, where, entry, certificatesOf),
    );
  }

  /** Those that can be read. */
  crls(field: string, entries: readonly string[]): Readable<Crl> {
    return readable(field, entries, 0, (where, entry) =>
      readOnce(this.#crls, where, entry, crlsOf),
    );
  }
}

interface Readable<T> {
  readonly read: readonly T[];
  /** Why the others could not be. */
  readonly passedOver: readonly string[];
}

function readable<T>(
  field: string,
  entries: readonly string[],
  first: number,
  parse: (where: string, entry: string) => readonly T[],
): Readable<T> {
  const read: T[] = [];
  const passedOver: string[] = [];
  for (const [i, entry] of entries.entries()) {
    if (i < first) continue;
    try {
      read.push(...parse(`${field}[${i}]`, entry));
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      passedOver.push(thrown.message);
    }
  }
  return { read, passedOver };
}

function readOnce<T>(
  known: Map<string, readonly T[]>,
  where: string,
  entry: string,
  parse: (bytes: Uint8Array) => readonly T[],
): readonly T[] {
  const found = known.get(entry);
  if (found !== undefined) return found;
  const bytes = bytesOf(where, entry);
  const parsed = within(where, () => parse(bytes));
  if (known.size >= maxCached) known.clear();
  known.set(entry, parsed);
  return parsed;
}

const maxCached = 1024;

function bytesOf(where: string, entry: string): Uint8Array {
  if (entry.includes('-----BEGIN ')) return new Uint8Array(Buffer.from(entry, 'utf8'));
  const bytes = fromBase64(entry.replaceAll(/\s/g, ''));
  if (bytes === undefined) throw refused(`"${where}" is neither PEM nor base64 of DER`);
  return bytes;
}

function listOf(field: string, value: unknown): string[] {
  if (value === undefined) return [];
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value;
  throw refused(`"${field}" is ${kindOf(value)}, not a list of PEM or base64 texts`);
}

function purposeOf(value: unknown): 'server' | 'client' | undefined {
  if (value === undefined || value === 'server' || value === 'client') return value;
  throw refused(`"purpose" is ${JSON.stringify(value)}, neither "server" nor "client"`);
}

function namesOf(value: unknown): ExpectedName[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw refused(`"names" is ${kindOf(value)}, not a list`);
  return value.map((name, i) => {
    const [entry, ...others] = isObject(name) ? Object.entries(name) : [];
    const kind = nameKinds.find((known) => known === entry?.[0]);
    if (entry === undefined || others.length > 0 || kind === undefined) {
      throw refused(`"names[${i}]" is no object with one of "dns", "ip", "email", "spiffe"`);
    }
    return { [kind]: textOf(`names[${i}].${kind}`, entry[1]) } as unknown as ExpectedName;
  });
}

function maxDepthOf(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw refused(`"maxDepth" is ${JSON.stringify(value)}, not a whole number from 0`);
}

/** Short for an object: an OID or a list of them is the initial policy set, and a policy of it is required. */
function policiesOf(value: unknown): PolicyInputs | undefined {
  if (value === undefined) return undefined;
  if (!isObject(value)) {
    const initialPolicySet = oidsOf('policy', typeof value === 'string' ? [value] : value);
    return { initialPolicySet, requireExplicitPolicy: true };
  }
  const inputs = fieldsOf(value, policyKeys, 'key of "policy"');
  const { initialPolicySet: set } = inputs;
  const asksForNone = set === undefined || (Array.isArray(set) && set.length === 0);
  return {
    ...(!asksForNone && { initialPolicySet: oidsOf('policy.initialPolicySet', set) }),
    requireExplicitPolicy: flagOf(inputs, 'requireExplicitPolicy'),
    inhibitPolicyMapping: flagOf(inputs, 'inhibitPolicyMapping'),
    inhibitAnyPolicy: flagOf(inputs, 'inhibitAnyPolicy'),
  };
}

function oidsOf(field: string, value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw refused(`"${field}" is ${kindOf(value)}, not a list of at least one OID`);
  }
  return value.map((oid) => {
    if (typeof oid === 'string' && isOid(oid)) return oid;
    throw refused(`"${field}" holds ${JSON.stringify(oid)}, which is no dotted OID`);
  });
}

function flagOf(inputs: Readonly<Record<string, unknown>>, key: string): boolean {
  const value = inputs[key] ?? false;
  if (typeof value === 'boolean') return value;
  throw refused(`"policy.${key}" is ${kindOf(value)}, neither true nor false`);
}

export function isOid(text: string): boolean {
  return /^[0-2](\.(0|[1-9]\d*))+$/.test(text);
}

function textOf(field: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw refused(`"${field}" is ${kindOf(value)}, not a text`);
}

/** The fields that say something; one of another name is refused. */
function fieldsOf(
  object: Readonly<Record<string, unknown>>,
  known: readonly string[],
  what: string,
): Readonly<Record<string, unknown>> {
  for (const key of Object.keys(object)) {
    if (known.includes(key)) continue;
    const nearest = nearestWord(key, known);
    const hint = nearest === undefined ? '' : `, nearest is "${nearest}"`;
    throw refused(`unknown ${what} "${key}"${hint}`);
  }
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

export function refused(reason: string): CountersignError {
  return new CountersignError('ERR_CLI_REQUEST', `read request: ${reason}`);
}
