import {
  type HeaderMatcher,
  type Permission,
  type Principal,
  uriTemplateType,
} from '../envoy/rbac.ts';
import { compilePathTemplate, envoyTemplate, isPathTemplate } from './path-template.ts';
import { orIds, orRules, type RuleField } from './rule-field.ts';
import {
  compileTexts,
  type MatchesText,
  readTextMatch,
  stringMatcher,
  type TextMatch,
} from './text-match.ts';

/** Compared whatever the case, with the port that a request has in its host. */
export function hostsField(name: string): RuleField<Permission> {
  return {
    name,
    isHttpOnly: true,
    isOfRequest: true,
    compile(values) {
      const matches = compileHeaderTexts(values.map(toLowerAscii));
      return ({ request }) =>
        request !== undefined && (matches?.(toLowerAscii(request.host)) ?? true);
    },
    envoy: (values) => orRules(values.map((value) => ({ header: hostMatcher(value) }))),
    found: ({ request }) => (request === undefined ? [] : [request.host]),
  };
}

export function methodsField(name: string): RuleField<Permission> {
  return {
    name,
    isHttpOnly: true,
    isOfRequest: true,
    compile(values) {
      const matches = compileHeaderTexts(values);
      return ({ request }) => request !== undefined && (matches?.(request.method) ?? true);
    },
    envoy: (values) =>
      orRules(values.map((value) => ({ header: headerMatcher(':method', value) }))),
    found: ({ request }) => (request === undefined ? [] : [request.method]),
  };
}

/** Normalised, without the query. */
export function pathsField(name: string): RuleField<Permission> {
  return {
    name,
    isHttpOnly: true,
    isOfRequest: true,
    compile(values) {
      const texts = compileTexts(values.filter((v) => !isPathTemplate(v)).map(readTextMatch));
      const templates = values.filter(isPathTemplate).map(compilePathTemplate);
      if (templates.length === 0) {
        return ({ request }) => request !== undefined && texts(request.path);
      }
      return ({ request }) =>
        request !== undefined &&
        (texts(request.path) || templates.some((template) => template(request.path)));
    },
    envoy: (values) => orRules(values.map(pathPermission)),
    found: ({ request }) => (request === undefined ? [] : [request.path]),
  };
}

/** A header by its name; each line of it counts by itself, and one has to match. */
export function headerField(name: string, header: string): RuleField<Principal> {
  const lowercase = header.toLowerCase();
  return {
    name,
    isHttpOnly: true,
    isOfRequest: true,
    compile(values) {
      const matches = compileHeaderTexts(values);
      return ({ request }) => request?.hasHeader(lowercase, matches) ?? false;
    },
    envoy: (values) => orIds(values.map((value) => ({ header: headerMatcher(header, value) }))),
    found: ({ request }) => request?.headerValues(lowercase) ?? [],
  };
}

/** For headers a lone star asks that they are there, even empty: undefined. */
function compileHeaderTexts(values: readonly string[]): MatchesText | undefined {
  const matches = values.map(readTextMatch);
  if (matches.some(({ kind }) => kind === 'present')) return undefined;
  return compileTexts(matches);
}

function headerMatcher(name: string, value: string): HeaderMatcher {
  const match = readTextMatch(value);
  return match.kind === 'present'
    ? { name, presentMatch: true }
    : { name, stringMatch: stringMatcher(match) };
}

function hostMatcher(value: string): HeaderMatcher {
  const match: TextMatch = readTextMatch(value);
  return match.kind === 'present'
    ? { name: ':authority', presentMatch: true }
    : { name: ':authority', stringMatch: { ...stringMatcher(match), ignoreCase: true } };
}

function pathPermission(value: string): Permission {
  if (!isPathTemplate(value)) return { urlPath: { path: stringMatcher(readTextMatch(value)) } };
  const typedConfig = { '@type': uriTemplateType, pathTemplate: envoyTemplate(value) };
  return { uriTemplate: { name: 'uri-template', typedConfig } };
}

/** ASCII alone, as Envoy compares hosts; and no new text where there is nothing to change. */
function toLowerAscii(text: string): string {
  return /[A-Z]/.test(text) ? text.replaceAll(/[A-Z]/g, (c) => c.toLowerCase()) : text;
}
