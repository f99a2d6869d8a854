import { METHODS } from 'node:http';
import {
  ConfigError,
  type ConfigIssue,
  type ConfigPath,
  configIssue,
  type Position,
  parseYamlDocuments,
  readDocument,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import {
  authorizationPolicySchema,
  type PolicyDocument,
  supportedOperationKeys,
  supportedSourceKeys,
  unsupportedRuleKeys,
  unsupportedSpecKeys,
} from './istio-schema.ts';
import { type PathPattern, parsePathPattern } from './path-pattern.ts';
import { parsePrincipalPattern } from './principal-pattern.ts';
import { parseTextPattern, type TextPattern } from './text-pattern.ts';

/** One AuthorizationPolicy as it was written, its patterns read. */
export interface AuthorizationPolicy {
  readonly name: string;
  /** `default` unless given. It only tells policies apart: all that a gateway is given apply to it. */
  readonly namespace: string;
  readonly action: 'ALLOW' | 'DENY';
  /** ALLOW without any rule allows nothing. */
  readonly rules: readonly AuthorizationRule[];
  readonly file: string;
}

/** Applies where one of `from` does and one of `to` does; an absent list applies to all. */
export interface AuthorizationRule {
  readonly from: readonly RuleSource[] | undefined;
  readonly to: readonly RuleOperation[] | undefined;
  readonly position: Position;
}

export interface RuleSource {
  /** One must match; compared with the SPIFFE ID without its scheme. */
  readonly principals: readonly TextPattern[];
}

/** Both must match, where present; each by one of its patterns. */
export interface RuleOperation {
  readonly methods: readonly TextPattern[] | undefined;
  readonly paths: readonly PathPattern[] | undefined;
}

/**
 * Reads Istio AuthorizationPolicy documents (`security.istio.io/v1`, `v1beta1`), strictly. Done so far: ALLOW and DENY;
 * `from.source.principals`; `to.operation.methods` and `paths`. Whatever else is of Istio's schema is refused by name
 * as not supported yet, whatever is not as an unknown key.
 *
 * @param source YAML text of one or more documents, or documents read before
 * @param file names a text in messages
 * @throws ConfigError with file, line and column; a text without any document is one, since "no policy" lets all in
 */
export function parseAuthorizationPolicies(
  source: string | readonly SourceDocument[],
  file = 'policy.yaml',
): AuthorizationPolicy[] {
  const documents = typeof source === 'string' ? parseYamlDocuments(source, file) : source;
  if (documents.length === 0) {
    const message = 'no policy in the file; to allow nothing, write a policy with an empty spec';
    throw new ConfigError(file, [
      { code: 'ERR_CONFIG_VALUE', message, path: '', line: 1, column: 1 },
    ]);
  }
  return documents.map(readPolicy);
}

function readPolicy(document: SourceDocument): AuthorizationPolicy {
  // 1. Another kind of document is not a misspelt policy.
  refuseOtherKinds(document);
  // 2. The shape, by Istio's whole schema.
  const written = readDocument<PolicyDocument>(authorizationPolicySchema, document);
  // 3. What of it is not done yet: all of it, so that it is mended in one go.
  throwIfAny(document, unsupportedIn(written, document));
  // 4. What Istio's schema allows and no author can mean.
  const collected: ConfigIssue[] = [];
  const rules = readRules(written, document, collected);
  const action = written.spec?.action === 'DENY' ? 'DENY' : 'ALLOW';
  if (action === 'DENY' && rules.length === 0) {
    const message = 'a DENY policy without rules denies nothing; to deny everything, write "- {}"';
    collected.push(...configIssue(document, ['spec'], 'ERR_CONFIG_VALUE', message).issues);
  }
  throwIfAny(document, collected);
  return {
    name: written.metadata.name,
    namespace: written.metadata.namespace ?? 'default',
    action,
    rules,
    file: document.file,
  };
}

function refuseOtherKinds(document: SourceDocument): void {
  const { value } = document;
  if (typeof value !== 'object' || value === null || !('kind' in value)) return;
  if (typeof value.kind !== 'string' || value.kind === 'AuthorizationPolicy') return;
  throw unsupported(document, ['kind'], `kind ${JSON.stringify(value.kind)} as a policy`);
}

function unsupportedIn(written: PolicyDocument, document: SourceDocument): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const refuse = (path: ConfigPath, what: string) => {
    issues.push(...unsupported(document, path, what).issues);
  };
  const refuseKeys = (path: ConfigPath, value: object, keys: readonly string[]) => {
    for (const key of keys) if (Object.hasOwn(value, key)) refuse([...path, key], `"${key}"`);
  };
  const refuseAllBut = (path: ConfigPath, value: object, supported: readonly string[]) =>
    refuseKeys(
      path,
      value,
      Object.keys(value).filter((key) => !supported.includes(key)),
    );

  // A dry run that were enforced would be an outage.
  const dryRun = 'istio.io/dry-run';
  const { annotations } = written.metadata;
  if (annotations?.[dryRun] !== undefined && annotations[dryRun] !== 'false') {
    refuse(['metadata', 'annotations', dryRun], `annotation "${dryRun}"`);
  }
  const spec = written.spec ?? {};
  if (spec.action === 'AUDIT' || spec.action === 'CUSTOM') {
    refuse(['spec', 'action'], `action ${spec.action}`);
  }
  refuseKeys(['spec'], spec, unsupportedSpecKeys);
  for (const [index, rule] of (spec.rules ?? []).entries()) {
    const at = ['spec', 'rules', index];
    refuseKeys(at, rule, unsupportedRuleKeys);
    for (const [place, { source }] of (rule.from ?? []).entries()) {
      refuseAllBut([...at, 'from', place, 'source'], source, supportedSourceKeys);
    }
    for (const [place, { operation }] of (rule.to ?? []).entries()) {
      refuseAllBut([...at, 'to', place, 'operation'], operation, supportedOperationKeys);
      for (const [n, path] of (operation.paths ?? []).entries()) {
        if (!/\{\*{1,2}\}/.test(path)) continue;
        refuse([...at, 'to', place, 'operation', 'paths', n], `path template ${quoted(path)}`);
      }
    }
  }
  return issues;
}

function readRules(
  written: PolicyDocument,
  document: SourceDocument,
  issues: ConfigIssue[],
): AuthorizationRule[] {
  const refuse = (path: ConfigPath, message: string) => {
    issues.push(...configIssue(document, path, 'ERR_CONFIG_VALUE', message).issues);
  };
  const readAll = <T extends object>(
    what: string,
    texts: readonly string[] | undefined,
    path: ConfigPath,
    read: (text: string) => T | string,
  ): readonly T[] | undefined =>
    texts?.flatMap((text, index) => {
      const pattern = read(text);
      if (typeof pattern !== 'string') return [pattern];
      refuse([...path, index], `${what} ${quoted(text)} ${pattern}`);
      return [];
    });

  return (written.spec?.rules ?? []).map((rule, index) => {
    const at = ['spec', 'rules', index];
    const from = rule.from?.map(({ source }, place) => {
      const path = [...at, 'from', place, 'source'];
      const { principals } = source;
      if (principals === undefined) refuse(path, 'an empty source, expected "principals"');
      return {
        principals:
          readAll('principal', principals, [...path, 'principals'], parsePrincipalPattern) ?? [],
      };
    });
    const to = rule.to?.map(({ operation }, place) => {
      const path = [...at, 'to', place, 'operation'];
      const { methods, paths } = operation;
      if (methods === undefined && paths === undefined) {
        refuse(path, 'an empty operation, expected "methods" or "paths"');
      }
      return {
        methods: readAll('method', methods, [...path, 'methods'], parseMethodPattern),
        paths: readAll('path', paths, [...path, 'paths'], parsePathPattern),
      };
    });
    return { from, to, position: document.positionOf(at) };
  });
}

/** RFC 9110 §9.1: methods are case-sensitive; a DENY for "get" would quietly match nothing. */
function parseMethodPattern(text: string): TextPattern | string {
  const capitals = text.toUpperCase();
  if (text !== capitals && METHODS.includes(capitals)) {
    return `is not a method, methods are written in capitals: "${capitals}"`;
  }
  return parseTextPattern(text);
}

function throwIfAny(document: SourceDocument, issues: readonly ConfigIssue[]): void {
  const sorted = issues.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const [first, ...rest] = sorted;
  if (first !== undefined) throw new ConfigError(document.file, [first, ...rest]);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
