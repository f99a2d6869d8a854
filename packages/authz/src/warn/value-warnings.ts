import type {
  AuthorizationPolicy,
  AuthorizationRule,
  FieldValues,
} from '../policy/authorization-policy.ts';
import { normalizePath } from '../request/normalize-path.ts';
import { isPathTemplate } from '../rules/path-template.ts';
import { nameOf } from '../rules/rule-set.ts';
import type { TableRequest } from '../trial/authz-table.ts';
import {
  alone,
  formatRequest,
  type PolicyWarning,
  tried,
  type WarningScene,
} from './policy-warning.ts';
import { instance, witnessOf, workloadOf } from './witness.ts';

/** Values that Istio takes and that no request can have, with the request that their author had in mind. */
export function valueWarnings(
  scene: WarningScene,
  policy: AuthorizationPolicy,
): readonly PolicyWarning[] {
  return policy.rules.flatMap((rule, index) =>
    [...fieldsIn(rule)].flatMap(({ key, values, place }) =>
      values.flatMap((value) => {
        const wrong = checks[key.replace(/^not(.)/, (_, first) => first.toLowerCase())]?.(
          value,
          scene,
        );
        if (wrong === undefined) return [];
        return [warningOf(scene, policy, rule, index, { key, value, place, ...wrong })];
      }),
    ),
  );
}

/** Why a value never matches, and the request that was meant by it. */
interface Wrong {
  readonly reason: string;
  readonly meant: Partial<TableRequest>;
}

interface Found extends Wrong {
  readonly key: string;
  readonly value: string;
  readonly place: Partial<AuthorizationRule>;
}

function warningOf(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  rule: AuthorizationRule,
  index: number,
  { key, value, place, reason, meant }: Found,
): PolicyWarning {
  const request = { ...witnessOf({ ...rule, ...place }, scene.mesh.trustDomain), ...meant };
  const workload = workloadOf(policy, scene.mesh.rootNamespace);
  const example = tried(alone(scene, policy), workload, request);
  const shown = `${formatRequest(request)} is ${example.got === 'ALLOW' ? 'allowed' : 'denied'}`;
  return {
    code: 'ERR_AUTHZ_NEVER_MATCHES',
    weight: 'finding',
    message: `policy ${nameOf(policy)} rules[${index}]: ${key} ${JSON.stringify(value)} ${reason}, and so matches nothing: ${shown}`,
    file: policy.file,
    position: rule.position,
    example,
  };
}

type Check = (value: string, scene: WarningScene) => Wrong | undefined;

const checks: Readonly<Record<string, Check>> = {
  principals: (value, { mesh }) => {
    if (value.startsWith('spiffe://')) {
      const principal = instance(value.slice('spiffe://'.length));
      return {
        reason: 'has the scheme, which Istio writes before it once more',
        meant: { principal },
      };
    }
    if (hasInnerStar(value)) {
      const reason = 'has a "*" that is neither first nor last, and so is a star';
      return { reason, meant: { principal: instance(value) } };
    }
    const domain = value.split('/', 1)[0] ?? '';
    if (/[A-Z]/.test(domain) && value.includes('/')) {
      const principal = instance(value.replace(domain, mesh.trustDomain));
      return {
        reason: 'has capitals in its trust domain, which no SPIFFE ID has',
        meant: { principal },
      };
    }
    return undefined;
  },
  namespaces: (value, { mesh }) =>
    value.includes('/')
      ? {
          reason: 'has a "/", which no namespace has',
          meant: { principal: `${mesh.trustDomain}/ns/${value.split('/').at(-1)}/sa/default` },
        }
      : undefined,
  methods: (value) => {
    const capitals = value.toUpperCase();
    if (!/^[A-Za-z]+$/.test(value) || value === capitals) return undefined;
    return { reason: `is not written in capitals: "${capitals}"`, meant: { method: capitals } };
  },
  hosts: (value) => {
    const bare = value.replace(/^[a-z]+:\/\//i, '').replace(/\/.*$/, '');
    if (bare !== value) {
      return { reason: 'is an address, expected a host', meant: { host: instance(bare) } };
    }
    return hasInnerStar(value)
      ? {
          reason: 'has a "*" that is neither first nor last, and so is a star',
          meant: { host: instance(value) },
        }
      : undefined;
  },
  paths: (value, { mesh }) => {
    if (value === '*') return undefined;
    if (/[?#]/.test(value)) {
      const path = instance(value.replace(/#.*$/, ''));
      return {
        reason: 'has a query or a fragment, which are no part of the path',
        meant: { path },
      };
    }
    if (isPathTemplate(value)) return undefined;
    if (hasInnerStar(value)) {
      const path = instance(value.startsWith('/') ? value : `/${value}`);
      return {
        reason: 'has a "*" that is neither first nor last, and so is a star',
        meant: { path },
      };
    }
    if (!/^[/*]/.test(value)) {
      return { reason: 'does not begin with "/"', meant: { path: `/${instance(value)}` } };
    }
    return unnormalized(value, mesh.pathNormalization);
  },
};

/** Requests are normalised before they are compared, and what a rule has stays as it is. */
function unnormalized(
  value: string,
  normalization: Parameters<typeof normalizePath>[1],
): Wrong | undefined {
  const text = value.replace(/^\*|\*$/g, '');
  const path = text.startsWith('/') ? text : `/${text}`;
  const normalized = normalizePath(path, normalization);
  if (typeof normalized === 'string') return { reason: normalized, meant: { path: '/' } };
  if (normalized.path === path || /\/\.{0,2}$/.test(path)) return undefined;
  const reason = `is ${JSON.stringify(normalized.path)} in every request`;
  return { reason, meant: { path } };
}

function hasInnerStar(value: string): boolean {
  return value.slice(1, -1).includes('*');
}

interface FieldIn {
  readonly key: string;
  readonly values: readonly string[];
  /** The rule with this alternative alone. */
  readonly place: Partial<AuthorizationRule>;
}

function* fieldsIn(rule: AuthorizationRule): Generator<FieldIn> {
  const fieldsOf = (values: FieldValues) =>
    Object.entries(values).map(([key, list]) => ({ key, values: list ?? [] }));
  for (const source of rule.from ?? []) {
    for (const field of fieldsOf(source)) yield { ...field, place: { from: [source] } };
  }
  for (const operation of rule.to ?? []) {
    for (const field of fieldsOf(operation)) yield { ...field, place: { to: [operation] } };
  }
  const conditionNames: Readonly<Record<string, string>> = {
    'source.principal': 'principals',
    'source.namespace': 'namespaces',
  };
  for (const { key, values, notValues } of rule.when) {
    const name = conditionNames[key];
    if (name !== undefined) yield { key: name, values: [...values, ...notValues], place: {} };
  }
}
