import { CountersignError, toHex } from '@countersign/base';
import type { SecretSource } from '../secret-source.ts';

/** A key in a token as RFC 7512 names it. */
export interface KeyUri {
  /** Absolute path. */
  readonly module: string;
  readonly token: string;
  readonly serial: string | undefined;
  /** CKA_LABEL. */
  readonly object: string | undefined;
  /** CKA_ID, lowercase hexadecimal. */
  readonly id: string | undefined;
  readonly pin: SecretSource;
}

const longest = 2048;

/**
 * `pkcs11:token=LABEL;object=NAME?module-path=/lib.so&pin-source=file:/path`. The key by `object`, `id` or both; the PIN by
 * `pin-source`, a file or, as `env:NAME`, a variable of the environment; else it is asked for.
 *
 * @throws CountersignError ERR_SIGNER_URI for every attribute that is not understood, `pin-value` among them
 */
export function parseKeyUri(text: string): KeyUri {
  const fail = (why: string): never => {
    throw new CountersignError('ERR_SIGNER_URI', `PKCS #11 URI: ${why}`);
  };
  if (!text.startsWith('pkcs11:') || text.length > longest)
    fail('it does not begin with "pkcs11:"');
  const [path = '', query = '', ...more] = text.slice('pkcs11:'.length).split('?');
  if (more.length > 0) fail('it has more than one "?"');
  const ofPath = attributesOf(path, ';', pathAttributes, fail);
  const ofQuery = attributesOf(query, '&', queryAttributes, fail);
  const textOf = (bytes: Buffer | undefined) => bytes?.toString('utf8');
  const type = textOf(ofPath.get('type')) ?? 'private';
  if (type !== 'private') fail(`type "${type}" is no key that signs, "private" is`);
  const module = textOf(ofQuery.get('module-path')) ?? fail('"module-path" is missing');
  if (!module.startsWith('/')) fail(`module-path "${module}" is to be absolute`);
  const token = textOf(ofPath.get('token')) ?? fail('"token" is missing');
  const id = ofPath.get('id');
  const object = textOf(ofPath.get('object'));
  if (id === undefined && object === undefined) fail('"object" and "id" are missing, give one');
  return {
    ...{ module, token, object, serial: textOf(ofPath.get('serial')) },
    id: id && toHex(id),
    pin: pinOf(textOf(ofQuery.get('pin-source')), fail),
  };
}

const pathAttributes = ['token', 'object', 'id', 'type', 'serial'] as const;
const queryAttributes = ['module-path', 'pin-source'] as const;

function attributesOf<const Name extends string>(
  part: string,
  separator: string,
  known: readonly Name[],
  fail: (why: string) => never,
): ReadonlyMap<Name, Buffer> {
  const found = new Map<Name, Buffer>();
  for (const each of part === '' ? [] : part.split(separator)) {
    const at = each.indexOf('=');
    const name = known.find((one) => one === each.slice(0, at));
    if (each.startsWith('pin-value=')) {
      fail('"pin-value" would show the PIN to whoever lists processes: give "pin-source"');
    }
    const word = each.slice(0, at === -1 ? 40 : Math.min(at, 40));
    if (name === undefined) return fail(`"${word}" is not understood, ${known.join(', ')} are`);
    if (found.has(name)) fail(`"${name}" is there twice`);
    found.set(
      name,
      decoded(each.slice(at + 1), () => fail(`"${name}" has a wrong "%"`)),
    );
  }
  return found;
}

/** RFC 3986 §2.1, into octets: an id is no text. */
function decoded(written: string, fail: () => never): Buffer {
  if (/%(?![0-9A-Fa-f]{2})/.test(written)) fail();
  const parts = written.split(/(%[0-9A-Fa-f]{2})/);
  return Buffer.concat(
    parts.map((part) =>
      part.startsWith('%') ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part, 'utf8'),
    ),
  );
}

function pinOf(written: string | undefined, fail: (why: string) => never): SecretSource {
  if (written === undefined) return { from: 'prompt' };
  const [, variable] = /^env:([A-Za-z_]\w*)$/.exec(written) ?? [];
  if (variable !== undefined) return { from: 'environment', variable };
  const [, path] = /^(?:file:(?:\/\/)?)?(\/.*)$/.exec(written) ?? [];
  // RFC 7512 §2.4 lets it be a command too
  return path === undefined
    ? fail('"pin-source" is file:/absolute/path or env:NAME')
    : { from: 'file', path };
}
