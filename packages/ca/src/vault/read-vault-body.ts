import type { Values } from './vault-fields.ts';

const mostDepth = 8;

/** What a request says, by its name; a text: what is wrong. JSON whatever its type says, since clients send it as forms. */
export function readVaultBody(bytes: Uint8Array, type: string): Values | string {
  if (bytes.byteLength === 0) return {};
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return 'failed to decode JSON input: it is no UTF-8';
  }
  if (/^\s*$/.test(text)) return {};
  const isForm = type.toLowerCase().startsWith('application/x-www-form-urlencoded');
  if (isForm && !/^\s*\{/.test(text)) return Object.fromEntries(new URLSearchParams(text));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return 'failed to decode JSON input: it is no JSON';
  }
  if (json === null) return {};
  if (typeof json !== 'object' || Array.isArray(json)) {
    return 'failed to decode JSON input: it is no JSON object';
  }
  return depthOf(json) > mostDepth
    ? `failed to decode JSON input: more than ${mostDepth} levels`
    : (json as Values);
}

function depthOf(value: unknown, depth = 0): number {
  if (typeof value !== 'object' || value === null || depth > mostDepth) return depth;
  return Object.values(value).reduce<number>(
    (most, each) => Math.max(most, depthOf(each, depth + 1)),
    depth + 1,
  );
}
