import type { Report } from '../ca-config-checks.ts';
import type { CertificateProfile } from '../profile/certificate-profile.ts';
import { compileCondition } from './condition.ts';
import { type NamePattern, parseNamePattern } from './name-pattern.ts';
import type { NameRule } from './name-rule.ts';
import type { WrittenPolicy } from './policy-schema.ts';
import { readWho } from './who.ts';

type WrittenRule = NonNullable<NonNullable<WrittenPolicy>['rules']>[number];

/** The meaning of `policy`, reported finding by finding. */
export function interpretPolicy(
  written: WrittenPolicy | undefined,
  trustDomain: string,
  report: Report,
): NameRule[] {
  const names = new Set<string>();
  return (written?.rules ?? []).map((rule, index) => {
    const path = ['policy', 'rules', index];
    const name = rule.name ?? `rule ${index + 1}`;
    if (names.has(name)) report([...path, 'name'], `policy.rules: "${name}" is there twice`);
    names.add(name);
    return interpretRule(rule, name, path, { trustDomain, report });
  });
}

function interpretRule(
  rule: WrittenRule,
  name: string,
  path: readonly (string | number)[],
  context: { readonly trustDomain: string; readonly report: Report },
): NameRule {
  const { report } = context;
  if (rule.allow == null && rule.deny == null) {
    report(path, `${path.join('.')}: neither "allow" nor "deny", a rule has at least one of them`);
  }
  const list = (side: 'allow' | 'deny') =>
    rule[side] == null ? undefined : readPatterns(rule[side], [...path, side], context);
  const compiled = rule.when == null ? undefined : compileCondition(rule.when);
  if (compiled?.ok === false) {
    const at = [...path, 'when'];
    report(at, `${at.join('.')}: the expression ${compiled.wrong}`);
  }
  return {
    name,
    ...readWho(rule, path, context),
    when: compiled?.ok === true ? compiled.condition : undefined,
    allow: list('allow'),
    deny: list('deny'),
  };
}

export function asksProvisioner(
  rules: readonly NameRule[],
  profiles: readonly CertificateProfile[],
): boolean {
  return (
    rules.some(
      ({ provisioners, when }) =>
        provisioners !== undefined || when?.uses.includes('provisioner') === true,
    ) ||
    profiles.some(({ uses = [] }) => uses.some(({ provisioners }) => provisioners !== undefined))
  );
}

export function readPatterns(
  texts: readonly string[],
  path: readonly (string | number)[],
  { trustDomain, report }: { readonly trustDomain: string; readonly report: Report },
): NamePattern[] {
  return texts.flatMap((text, index) => {
    const read = parseNamePattern(text, trustDomain);
    if (read.ok) return [read.pattern];
    const at = [...path, index];
    report(at, `${at.join('.')}: "${text}" ${read.wrong}`);
    return [];
  });
}
