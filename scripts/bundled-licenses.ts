import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The licences of other people's packages that a bundle holds, each in whole, as they ask for.
 *
 * @param modules paths of the bundle's modules
 */
export function bundledLicenses(modules: readonly string[]): string {
  const packages = new Set(modules.map(packageOf).filter((path) => path !== undefined));
  return [...packages]
    .sort()
    .map(licenseOf)
    .join(`\n${'-'.repeat(80)}\n\n`);
}

function packageOf(module: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(module)?.[0];
}

function licenseOf(path: string): string {
  const manifest = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
  const { name, version, license, author } = manifest;
  const files = readdirSync(path).filter((file) => /^(?:licen[cs]e|copying|notice)/i.test(file));
  const texts = files.map((file) => readFileSync(join(path, file), 'utf8').trim());
  if (texts.length === 0)
    texts.push(`By ${author?.name ?? author}, who brings no text of the licence.`);
  return `${[`${name} ${version} (${license})`, ...texts].join('\n\n')}\n`;
}
