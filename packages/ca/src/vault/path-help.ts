import { findVaultRoute } from './find-vault-route.ts';
import type { Values } from './vault-fields.ts';
import type { Described } from './vault-target.ts';

/** What `?help=1` answers: of one route with its fields, or of a mount with its routes. */
export function helpFor(routes: readonly Described[], rest: string): Values {
  const found = findVaultRoute(routes, rest);
  const help = found === undefined ? helpOfAll(routes) : helpOfOne(found.route, rest);
  return { help, openapi: null, see_also: null };
}

function helpOfOne({ path, help, fields = {} }: Described, rest: string): string {
  const parameters = Object.entries(fields).map(
    ([name, field]) =>
      `    ${name} (${field.kind})\n\n        ${field.help}${field.only === undefined ? '' : ` Here: ${field.only}.`}\n`,
  );
  const tail = parameters.length === 0 ? '' : `\n## PARAMETERS\n\n${parameters.join('\n')}`;
  return `Request:        ${rest}\nMatching Route: ${path}\n\n${help}\n${tail}`;
}

function helpOfAll(routes: readonly Described[]): string {
  const lines = routes.map(({ path, help }) => `    ${path}\n        ${help}\n`);
  return `## PATHS\n\nThese paths are served; "?help=1" on each says more.\n\n${lines.join('\n')}`;
}
