import type {
  AuthorizationPolicy,
  AuthorizationRule,
  FieldValues,
} from '../policy/authorization-policy.ts';
import { isPathTemplate } from '../rules/path-template.ts';
import { nameOf } from '../rules/rule-set.ts';
import { readTextMatch } from '../rules/text-match.ts';
import { formatRequest, type PolicyWarning, tried, type WarningScene } from './policy-warning.ts';
import { witnessOf, workloadOf } from './witness.ts';

/** Rules that change nothing, since another one of the same action says as much, or a DENY rule comes before. */
export function shadowWarnings(
  scene: WarningScene,
  policy: AuthorizationPolicy,
): readonly PolicyWarning[] {
  if (policy.isDryRun || (policy.action !== 'ALLOW' && policy.action !== 'DENY')) return [];
  return policy.rules.flatMap((rule, index) => {
    const shadow = shadowOf(scene, policy, rule, index);
    if (shadow === undefined) return [];
    const request = witnessOf(rule, scene.mesh.trustDomain);
    const workload = workloadOf(policy, scene.mesh.rootNamespace);
    const example = tried(scene, workload, request);
    const { of, at } = shadow;
    const verdict = example.got === 'ALLOW' ? 'allowed' : 'denied';
    const warning: PolicyWarning = {
      code: 'ERR_AUTHZ_SHADOWED',
      weight: 'finding',
      message: [
        `policy ${nameOf(policy)} rules[${index}] changes nothing: whatever it is about,`,
        `${of.action} policy ${nameOf(of)} rules[${at}] decides as well:`,
        `${formatRequest(request)} is ${verdict} with and without it`,
      ].join(' '),
      file: policy.file,
      position: rule.position,
      example,
    };
    return [warning];
  });
}

interface Shadow {
  readonly of: AuthorizationPolicy;
  readonly at: number;
}

function shadowOf(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  rule: AuthorizationRule,
  index: number,
): Shadow | undefined {
  const all = scene.policies.authorization;
  const own = all.indexOf(policy);
  for (const [place, of] of all.entries()) {
    const isStronger = of.action === 'DENY' || of.action === policy.action;
    if (of.isDryRun || !isStronger || !isWherever(of, policy, scene.mesh.rootNamespace)) continue;
    for (const [at, other] of of.rules.entries()) {
      if (place === own && at === index) continue;
      if (!covers(other, rule)) continue;
      // Of two that say the same the second is too much.
      const isMutual = of.action === policy.action && covers(rule, other);
      const isBefore = place < own || (place === own && at < index);
      if (!isMutual || isBefore || !isWherever(policy, of, scene.mesh.rootNamespace)) {
        return { of, at };
      }
    }
  }
  return undefined;
}

/** Whether one policy is for every workload that another is for. */
function isWherever(
  wide: AuthorizationPolicy,
  narrow: AuthorizationPolicy,
  rootNamespace: string,
): boolean {
  if (wide.target.refs.length > 0 || narrow.target.refs.length > 0) {
    const same = JSON.stringify(wide.target) === JSON.stringify(narrow.target);
    return same && wide.namespace === narrow.namespace;
  }
  if (wide.namespace !== narrow.namespace && wide.namespace !== rootNamespace) return false;
  return Object.entries(wide.target.labels ?? {}).every(
    ([name, value]) => narrow.target.labels?.[name] === value,
  );
}

/** Whether a rule applies wherever another does; only said where it is certain. */
function covers(wide: AuthorizationRule, narrow: AuthorizationRule): boolean {
  const isEvery = (
    all: readonly FieldValues[] | undefined,
    some: readonly FieldValues[] | undefined,
  ) => all === undefined || (some ?? [{}]).every((each) => all.some((a) => fieldsCover(a, each)));
  const conditions = wide.when.every(({ key, values, notValues }) =>
    narrow.when.some(
      (each) =>
        each.key === key &&
        (values.length === 0 || (each.values.length > 0 && valuesCover(values, each.values))) &&
        (notValues.length === 0 || valuesCover(each.notValues, notValues)),
    ),
  );
  return conditions && isEvery(wide.from, narrow.from) && isEvery(wide.to, narrow.to);
}

function fieldsCover(wide: FieldValues, narrow: FieldValues): boolean {
  return Object.entries(wide).every(([key, values = []]) => {
    const others = narrow[key] ?? [];
    if (values.length === 0) return true;
    // What the wide one excludes, the narrow one has to exclude as well.
    if (key.startsWith('not')) return valuesCover(others, values);
    return others.length > 0 && valuesCover(values, others);
  });
}

function valuesCover(wide: readonly string[], narrow: readonly string[]): boolean {
  return narrow.every((value) => wide.some((each) => valueCovers(each, value)));
}

function valueCovers(wide: string, narrow: string): boolean {
  if (wide === narrow || wide === '*') return true;
  // A principal that is named whole stands for the aliases of its trust domain, and a prefix does not.
  if (narrow.split('/').length === 5 && !wide.startsWith('*') && !narrow.startsWith('/'))
    return false;
  if (isPathTemplate(wide) || isPathTemplate(narrow)) return false;
  const [a, b] = [readTextMatch(wide), readTextMatch(narrow)];
  if (a.kind === 'present') return true;
  if (a.kind === 'prefix') {
    return (b.kind === 'exact' || b.kind === 'prefix') && b.text.startsWith(a.text);
  }
  if (a.kind === 'suffix') {
    return (b.kind === 'exact' || b.kind === 'suffix') && b.text.endsWith(a.text);
  }
  return false;
}
