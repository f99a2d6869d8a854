import { createPublicKey } from 'node:crypto';
import { CountersignError, messageOf, parseDuration } from '@countersign/base';
import {
  type ConfigPath,
  type Position,
  readDocument,
  type SourceDocument,
} from '@countersign/config';
import { z } from 'zod';
import {
  DocumentIssues,
  metadataSchema,
  securityApiSchema,
  targetShape,
} from './istio-metadata.ts';
import type { MeshSettings } from './mesh-settings.ts';
import { isFor, type PolicyTarget, readTarget, type Workload } from './policy-target.ts';

/** One RequestAuthentication as it was written: whose tokens are believed, and where they are found. */
export interface RequestAuthentication {
  readonly name: string;
  readonly namespace: string;
  readonly target: PolicyTarget;
  readonly rules: readonly TokenRule[];
  readonly file: string;
  readonly position: Position;
}

export interface TokenRule {
  readonly issuer: string;
  /** One of them has to be in the token's; empty: any. */
  readonly audiences: readonly string[];
  /** Where the keys are: an address, or the keys themselves. */
  readonly keys:
    | { readonly kind: 'uri'; readonly uri: string; readonly timeoutMs: number }
    | { readonly kind: 'local'; readonly keys: readonly JsonWebKey[] }
    /** By OpenID discovery, from the issuer. */
    | { readonly kind: 'discovery' };
  readonly fromHeaders: readonly { readonly name: string; readonly prefix: string }[];
  readonly fromParams: readonly string[];
  readonly fromCookies: readonly string[];
  /** Claims that are lists of words, besides `scope` and `permission`. */
  readonly spaceDelimitedClaims: readonly string[];
  readonly forwardOriginalToken: boolean;
  readonly outputPayloadToHeader: string | undefined;
  readonly outputClaimToHeaders: readonly { readonly header: string; readonly claim: string }[];
}

export type JsonWebKey = Readonly<Record<string, unknown>>;

const text = z.string().min(1, 'an empty text');
const texts = z.array(text).optional();

const tokenRuleSchema = z.strictObject({
  issuer: text.optional(),
  audiences: texts,
  jwksUri: text.max(2048).optional(),
  jwks_uri: text.max(2048).optional(),
  jwks: z.string().optional(),
  fromHeaders: z.array(z.strictObject({ name: text, prefix: z.string().optional() })).optional(),
  fromParams: texts,
  fromCookies: texts,
  outputPayloadToHeader: z.string().optional(),
  forwardOriginalToken: z.boolean().optional(),
  outputClaimToHeaders: z
    .array(z.strictObject({ header: text.regex(/^[-_A-Za-z0-9]+$/), claim: text }))
    .optional(),
  timeout: z.string().optional(),
  spaceDelimitedClaims: z.array(text).max(64).optional(),
});

const requestAuthenticationSchema = z.strictObject({
  apiVersion: securityApiSchema,
  kind: z.literal('RequestAuthentication'),
  metadata: metadataSchema,
  spec: z
    .strictObject({ ...targetShape, jwtRules: z.array(tokenRuleSchema).max(4096).optional() })
    .nullish(),
  status: z.unknown().optional(),
});

/** @throws ConfigError with every issue of the document */
export function readRequestAuthentication(document: SourceDocument): RequestAuthentication {
  const { metadata, spec } = readDocument(requestAuthenticationSchema, document);
  const issues = new DocumentIssues(document);
  const target = readTarget(spec ?? {}, issues);
  const rules = (spec?.jwtRules ?? []).map((rule, index) =>
    readTokenRule(rule, ['spec', 'jwtRules', index], issues),
  );
  issues.throwIfAny();
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? 'default',
    target,
    rules,
    file: document.file,
    position: document.positionOf(['metadata', 'name']),
  };
}

/** Every rule for a workload's tokens; all policies for it count together. */
export function tokenRulesFor(
  policies: readonly RequestAuthentication[],
  workload: Workload,
  rootNamespace: string,
): readonly TokenRule[] {
  return policies
    .filter(({ target, namespace }) => isFor(target, namespace, workload, rootNamespace))
    .flatMap(({ rules }) => rules);
}

/**
 * The same for a gateway that may not know which workload it is: then all that select none count.
 *
 * @throws CountersignError ERR_AUTHZ_WORKLOAD where one selects workloads and it was not said which this is
 */
export function tokenRulesOf(
  policies: readonly RequestAuthentication[],
  { mesh, workload }: { readonly mesh: MeshSettings; readonly workload?: Workload },
): readonly TokenRule[] {
  if (workload !== undefined) return tokenRulesFor(policies, workload, mesh.rootNamespace);
  const selecting = policies.find(
    ({ target }) => target.labels !== undefined || target.refs.length > 0,
  );
  if (selecting === undefined) return policies.flatMap(({ rules }) => rules);
  const { namespace, name, file } = selecting;
  const detail = `RequestAuthentication ${namespace}/${name} selects workloads, and which this is was not said`;
  throw new CountersignError('ERR_AUTHZ_WORKLOAD', `${file}: ${detail}`);
}

type WrittenRule = z.infer<typeof tokenRuleSchema>;

function readTokenRule(rule: WrittenRule, at: ConfigPath, issues: DocumentIssues): TokenRule {
  const uri = rule.jwksUri ?? rule.jwks_uri;
  if (rule.issuer === undefined && uri === undefined) {
    issues.add(at, 'a rule without "issuer" and "jwksUri"');
  }
  const places = [rule.jwksUri, rule.jwks_uri, rule.jwks].filter((place) => place !== undefined);
  if (places.length > 1) issues.add(at, 'only one of "jwks" and "jwksUri" can be set');
  return {
    issuer: rule.issuer ?? '',
    audiences: rule.audiences ?? [],
    keys: readKeys(rule, uri, at, issues),
    fromHeaders: (rule.fromHeaders ?? []).map(({ name, prefix = '' }) => ({ name, prefix })),
    fromParams: rule.fromParams ?? [],
    fromCookies: rule.fromCookies ?? [],
    spaceDelimitedClaims: rule.spaceDelimitedClaims ?? [],
    forwardOriginalToken: rule.forwardOriginalToken ?? false,
    outputPayloadToHeader: rule.outputPayloadToHeader,
    outputClaimToHeaders: rule.outputClaimToHeaders ?? [],
  };
}

function readKeys(
  rule: WrittenRule,
  uri: string | undefined,
  at: ConfigPath,
  issues: DocumentIssues,
): TokenRule['keys'] {
  const timeoutMs = readTimeout(rule.timeout, at, issues);
  if (uri !== undefined) {
    const scheme = URL.canParse(uri) ? new URL(uri).protocol : undefined;
    if (scheme !== 'http:' && scheme !== 'https:') {
      issues.add([...at, 'jwksUri'], 'expected an address that begins with http:// or https://');
    }
    return { kind: 'uri', uri, timeoutMs };
  }
  if (rule.jwks === undefined || rule.jwks === '') return { kind: 'discovery' };
  const keys = parseKeySet(rule.jwks);
  if (typeof keys === 'string') issues.add([...at, 'jwks'], keys);
  return { kind: 'local', keys: typeof keys === 'string' ? [] : keys };
}

function readTimeout(written: string | undefined, at: ConfigPath, issues: DocumentIssues): number {
  if (written === undefined) return 5000;
  try {
    const timeoutMs = parseDuration(written);
    if (timeoutMs >= 1) return timeoutMs;
  } catch {
    // Said below, with the place.
  }
  issues.add([...at, 'timeout'], `"${written}" is no time of at least 1ms such as "5s"`);
  return 5000;
}

/**
 * The public keys of a JWK set, RFC 7517 §5; or what is wrong with it. Keys of kinds that nobody here knows are left
 * out, as the RFC asks; private ones are taken for what they have of public ones.
 */
export function parseKeySet(written: string): readonly JsonWebKey[] | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(written);
  } catch (thrown) {
    return `a key set that is no JSON: ${messageOf(thrown)}`;
  }
  const isObject = (value: unknown): value is JsonWebKey =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject(parsed)) return 'a key set that is no JSON object';
  const { keys } = parsed;
  const list = keys === undefined && 'kty' in parsed ? [parsed] : keys;
  if (!Array.isArray(list) || !list.every(isObject)) return 'a key set without a list "keys"';
  for (const [index, key] of list.entries()) {
    if (typeof key.kty !== 'string') return `key ${index} of the set has no "kty"`;
    if (!['RSA', 'EC', 'OKP'].includes(key.kty)) continue;
    try {
      createPublicKey({ key, format: 'jwk' });
    } catch (thrown) {
      return `key ${index} of the set is no ${key.kty} key: ${messageOf(thrown)}`;
    }
  }
  return list;
}
