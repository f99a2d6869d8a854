import { join } from 'node:path';
import { CountersignError, nearestWord } from '@countersign/base';
import { type Identity, identityFiles } from '@countersign/identity';
import { encodePem, encodePrivateKey } from '@countersign/x509';

/** What the program is told of, under a name of its own choice. */
export interface Handover {
  /** The environment variable. */
  readonly name: string;
  readonly what: HandoverKind;
  /** The text itself instead of the file that holds it. */
  readonly isContent: boolean;
}

const kinds = {
  key: {
    file: identityFiles.key,
    content: ({ svid }: Identity) => encodePrivateKey(svid.privateKey),
  },
  cert: { file: identityFiles.cert, content: ({ svid }: Identity) => pem([svid.leaf]) },
  chain: { file: identityFiles.chain, content: ({ svid }: Identity) => pem(svid.chain) },
  bundle: {
    file: identityFiles.bundle,
    content: ({ bundle }: Identity) => pem(bundle.authorities),
  },
  directory: { file: '.', content: undefined },
  'spiffe-id': { file: undefined, content: ({ svid }: Identity) => svid.spiffeId.toString() },
} as const;

export type HandoverKind = keyof typeof kinds;

const always: readonly Handover[] = [
  ...(['directory', 'key', 'cert', 'chain', 'bundle', 'spiffe-id'] as const).map((what) => ({
    name: `COUNTERSIGN_${what.replace('-', '_').toUpperCase()}`,
    what,
    isContent: what === 'spiffe-id',
  })),
];

/**
 * Reads `NAME=key`, `NAME=@chain` (the text itself).
 *
 * @throws CountersignError ERR_USAGE
 */
export function parseHandover(text: string): Handover {
  const [, name, at, word = ''] = /^([A-Za-z_]\w*)=(@?)(.*)$/.exec(text) ?? [];
  if (name === undefined) throw wrong(`"${text}" is not NAME=WHAT`);
  if (!Object.hasOwn(kinds, word)) {
    const nearest = nearestWord(word, Object.keys(kinds));
    throw wrong(`"${word}" is none of ${Object.keys(kinds).join(', ')}`, nearest);
  }
  const what = word as HandoverKind;
  if (at === '@' && kinds[what].content === undefined) throw wrong(`"${word}" has no text`);
  return { name, what, isContent: at === '@' || kinds[what].file === undefined };
}

/** The environment that names the identity's files, or holds their text where that is asked for. */
export function environmentOf(
  identity: Identity,
  directory: string,
  handovers: readonly Handover[],
): Readonly<Record<string, string>> {
  const entries = [...always, ...handovers].map(({ name, what, isContent }) => {
    const { file, content } = kinds[what];
    const value = isContent ? content?.(identity) : join(directory, file ?? '.');
    return [name, value ?? ''] as const;
  });
  return Object.fromEntries(entries);
}

function pem(certificates: Identity['bundle']['authorities']): string {
  return certificates.map((each) => encodePem('CERTIFICATE', each.raw)).join('');
}

function wrong(reason: string, nearest?: string): CountersignError {
  return new CountersignError('ERR_USAGE', `--set: ${reason}`, {
    ...(nearest === undefined ? {} : { hint: `did you mean "${nearest}"?` }),
  });
}
