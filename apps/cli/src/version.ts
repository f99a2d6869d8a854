import { readFileSync } from 'node:fs';

/** Of this package: `0.1.0`. */
export function versionNumber(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const manifest: { version?: unknown } = JSON.parse(text);
  return String(manifest.version);
}
