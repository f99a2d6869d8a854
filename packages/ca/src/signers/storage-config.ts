import { isAbsolute } from 'node:path';
import { CountersignError, messageOf, nearestWord } from '@countersign/base';
import type { ConfigPath } from '@countersign/config';
import type { Report } from '../ca-config-checks.ts';
import { checkEndpoint } from './kms/kms-request.ts';
import type { SecretSource } from './secret-source.ts';
import type { WrittenHsm, WrittenKms, WrittenSeal } from './storage-schema.ts';

/** Where the key of a certificate of the hierarchy lives. */
export type StorageConfig =
  | { readonly type: 'file' }
  | {
      readonly type: 'pkcs11';
      readonly module: string;
      readonly tokenLabel: string;
      readonly tokenSerial?: string | undefined;
      readonly pin: SecretSource;
      readonly sessions?: number | undefined;
      readonly timeoutMs?: number | undefined;
    }
  | {
      readonly type: 'aws-kms';
      readonly region: string;
      readonly endpoint?: string | undefined;
      readonly timeoutMs?: number | undefined;
    }
  | {
      readonly type: 'google-kms';
      readonly keyRing: string;
      readonly protection: 'hsm' | 'software';
      readonly endpoint?: string | undefined;
      readonly timeoutMs?: number | undefined;
    }
  | {
      readonly type: 'azure-key-vault';
      readonly vault: string;
      readonly protection: 'hsm' | 'software';
      readonly timeoutMs?: number | undefined;
    };

/** What a file says of tokens and services, and where. */
export interface StorageBlocks {
  readonly hsm?: { readonly written: WrittenHsm; readonly path: ConfigPath } | undefined;
  readonly kms?: { readonly written: WrittenKms; readonly path: ConfigPath } | undefined;
}

const words: ReadonlyMap<string, 'file' | 'hsm' | 'kms'> = new Map([
  ['file', 'file'],
  ['hsm', 'hsm'],
  ['pkcs11', 'hsm'],
  ['kms', 'kms'],
]);

const example = {
  hsm: 'hsm: { module: /path/to/pkcs11.so, token_label: NAME, pin: "@/path/to/pin" }',
  kms: 'kms: { provider: aws, region: REGION }, or google with key_ring, or azure with vault',
};

/** The storage that a certificate names, with the block that says the rest. */
export function interpretStorage(
  word: string | undefined,
  blocks: StorageBlocks,
  path: ConfigPath,
  report: Report,
): StorageConfig {
  const at = [...path, 'storage'];
  const plain = (word ?? 'file').toLowerCase().replaceAll(/[-_ #]/g, '');
  const kind = words.get(plain);
  if (kind === undefined) {
    const known = ['file', 'HSM', 'pkcs11', 'KMS'];
    const nearest = nearestWord(word ?? '', known);
    const hint = nearest === undefined ? '' : `, the nearest is "${nearest}"`;
    report(at, `${at.join('.')}: expected ${quoted(known)}, found "${word}"${hint}`);
    return { type: 'file' };
  }
  if (kind === 'file') return { type: 'file' };
  const block = blocks[kind];
  if (block === undefined) {
    const means = kind === 'hsm' ? 'a PKCS #11 token' : 'a key management service';
    report(
      at,
      `${at.join('.')}: "${word}" is ${means}, which "${kind}" must configure beside it, under "ca" or at the top level: ${example[kind]}`,
    );
    return { type: 'file' };
  }
  return kind === 'hsm'
    ? interpretHsm(block.written as WrittenHsm, block.path, report)
    : interpretKms(block.written as WrittenKms, block.path, report);
}

/** Where the passphrase of sealed keys is, if `seal` names a place. */
export function interpretSeal(
  written: WrittenSeal,
  path: ConfigPath,
  report: Report,
): SecretSource | undefined {
  const { passphrase, passphrase_env, passphrase_prompt } = written;
  const places = { literal: passphrase, env: passphrase_env, prompt: passphrase_prompt };
  return interpretSecret(places, path, 'passphrase', report);
}

function interpretHsm(written: WrittenHsm, path: ConfigPath, report: Report): StorageConfig {
  const { module, token_label, token_serial, sessions, timeout } = written;
  if (!isAbsolute(module)) {
    const at = [...path, 'module'];
    report(
      at,
      `${at.join('.')}: expected an absolute path of a PKCS #11 module, found "${module}"`,
    );
  }
  const places = { literal: written.pin, env: written.pin_env, prompt: written.pin_prompt };
  return {
    type: 'pkcs11',
    module,
    tokenLabel: token_label,
    tokenSerial: token_serial,
    pin: interpretSecret(places, path, 'pin', report) ?? { from: 'prompt' },
    sessions,
    timeoutMs: timeout,
  };
}

/**
 * A secret in `ca.yaml` itself is refused: the file is copied, kept beside the ledger and put into repositories. Paths
 * are absolute, since commands read the file in other directories too.
 */
function interpretSecret(
  places: {
    readonly literal: string | undefined;
    readonly env: string | undefined;
    readonly prompt: boolean | undefined;
  },
  path: ConfigPath,
  key: 'pin' | 'passphrase',
  report: Report,
): SecretSource | undefined {
  const { literal, env } = places;
  const given = [literal, env, places.prompt === true ? 'prompt' : undefined];
  const at = [...path, key];
  if (given.filter((each) => each !== undefined).length > 1) {
    const sides = `"${key}", "${key}_env" and "${key}_prompt" exclude each other`;
    report(path, `${path.join('.')}: ${sides}`, { which: 'key' });
  }
  if (env !== undefined) return { from: 'environment', variable: env };
  if (literal === undefined) return places.prompt === true ? { from: 'prompt' } : undefined;
  const file = /^@(.+)$/s.exec(literal)?.[1];
  if (file !== undefined && isAbsolute(file)) return { from: 'file', path: file };
  const wanted = `expected "@" and the absolute path of a file that holds it`;
  // The value is not repeated: it may be the secret.
  const found = file === undefined ? 'found something else' : `found the relative path "${file}"`;
  report(at, `${at.join('.')}: ${wanted}, ${found}; or write ${key}_env with a variable's name`);
  return undefined;
}

const kmsKeys = {
  aws: { needed: 'region', allowed: ['endpoint'] },
  google: { needed: 'key_ring', allowed: ['protection', 'endpoint'] },
  azure: { needed: 'vault', allowed: ['protection'] },
} as const;

function interpretKms(written: WrittenKms, path: ConfigPath, report: Report): StorageConfig {
  const { provider, timeout, protection = 'hsm', endpoint } = written;
  const { needed, allowed } = kmsKeys[provider];
  const keys = Object.keys(written).filter((key) => key !== 'provider' && key !== 'timeout');
  for (const key of keys) {
    if (key === needed || allowed.some((other) => other === key)) continue;
    const has = quoted([needed, ...allowed]);
    report([...path, key], `${[...path, key].join('.')}: provider "${provider}" has ${has}`, {
      which: 'key',
    });
  }
  if (written[needed] === undefined) {
    report(path, `${path.join('.')}: provider "${provider}" needs "${needed}"`, { which: 'key' });
  }
  checkUrl(endpoint, [...path, 'endpoint'], report);
  if (provider === 'aws') {
    return { type: 'aws-kms', region: written.region ?? '', endpoint, timeoutMs: timeout };
  }
  if (provider === 'google') {
    const keyRing = written.key_ring ?? '';
    const at = [...path, 'key_ring'];
    if (
      written.key_ring !== undefined &&
      !/^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+$/.test(keyRing)
    ) {
      const form = 'expected projects/P/locations/L/keyRings/R';
      report(at, `${at.join('.')}: ${form}, found "${keyRing}"`);
    }
    return { type: 'google-kms', keyRing, protection, endpoint, timeoutMs: timeout };
  }
  checkUrl(written.vault, [...path, 'vault'], report);
  return { type: 'azure-key-vault', vault: written.vault ?? '', protection, timeoutMs: timeout };
}

function checkUrl(text: string | undefined, path: ConfigPath, report: Report): void {
  if (text === undefined) return;
  try {
    checkEndpoint(text, path.join('.'));
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    report(path, messageOf(thrown));
  }
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
