import type { RouterConfig } from '../config/router-config.ts';
import type { Supergraph } from './supergraph.ts';

/** Of each rule with a role that nobody can hold: what it says. A misspelt `@deny` would be for nobody. */
export function unknownRoles(
  { rules }: Pick<Supergraph, 'rules'>,
  { authorization }: Pick<RouterConfig, 'authorization'>,
): string[] {
  const told = [...rules.values()].flat().flatMap(({ kind, coordinate, roles, anyOf }) => {
    const named = kind === 'policy' ? anyOf.flat() : roles;
    return named
      .filter((role) => !Object.hasOwn(authorization.roles, role))
      .map(
        (role) =>
          `@${kind} on ${coordinate} names the role "${role}", which authorization.roles does not have`,
      );
  });
  return [...new Set(told)];
}
