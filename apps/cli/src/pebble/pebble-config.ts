import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf } from '@countersign/base';
import { z } from 'zod';

/** Pebble's file, with what it is where the file says nothing. Paths are relative to where the command was started. */
export interface PebbleConfig {
  readonly listenAddress: string;
  /** Undefined: there is no management. */
  readonly managementListenAddress: string | undefined;
  readonly certificate: string;
  readonly privateKey: string;
  readonly httpPort: number;
  readonly tlsPort: number;
  readonly ocspResponderURL: string | undefined;
  readonly externalAccountBindingRequired: boolean;
  /** By key id, base64url. */
  readonly externalAccountMACKeys: Readonly<Record<string, string>>;
  readonly caaIdentities: readonly string[];
  readonly domainBlocklist: readonly string[];
  /** Seconds; 0: clients are not told. */
  readonly retryAfter: { readonly authz: number; readonly order: number };
  readonly keyAlgorithm: 'rsa' | 'ecdsa';
  readonly profiles: Readonly<Record<string, PebbleProfile>>;
  /** Members of the file that mean nothing here. */
  readonly unknown: readonly string[];
}

export interface PebbleProfile {
  readonly description: string;
  readonly validitySeconds: number;
  readonly promoteCommonName: boolean;
}

/** Pebble's own default. */
const defaultValidity = 7_776_000;
/** The authority itself lasts thirty years. */
const longestValidity = 25 * 365 * 86_400;

const text = z.string();
const port = z.number().int().min(0).max(65_535);
const seconds = z.number().int().min(0).max(86_400);

const profile = z.object({
  description: text.nullish(),
  validityPeriod: z.number().int().min(0).max(longestValidity).nullish(),
  promoteCommonName: z.boolean().nullish(),
});

const pebble = z.looseObject({
  listenAddress: text.min(1),
  managementListenAddress: text.nullish(),
  certificate: text.min(1),
  privateKey: text.min(1),
  httpPort: port.nullish(),
  tlsPort: port.nullish(),
  ocspResponderURL: z.union([z.literal(''), z.url()]).nullish(),
  externalAccountBindingRequired: z.boolean().nullish(),
  externalAccountMACKeys: z.record(z.string(), text).nullish(),
  caaIdentities: z.array(text).nullish(),
  domainBlocklist: z.array(text).nullish(),
  retryAfter: z.object({ authz: seconds.nullish(), order: seconds.nullish() }).nullish(),
  keyAlgorithm: z.enum(['', 'rsa', 'ecdsa']).nullish(),
  profiles: z.record(z.string(), profile).nullish(),
  certificateValidityPeriod: z.number().int().min(0).max(longestValidity).nullish(),
});

const schema = z.object({ pebble: z.preprocess(spelt, pebble) });

/** @throws CountersignError ERR_FILE, ERR_CONFIG_SYNTAX, ERR_CONFIG_VALUE */
export async function readPebbleConfig(file: string): Promise<PebbleConfig> {
  const read = await readFile(file, 'utf8').catch((thrown: unknown) => {
    const message = `read Pebble's configuration "${file}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_FILE', message, { fields: { file }, cause: thrown });
  });
  return parsePebbleConfig(read, file);
}

/** @throws CountersignError ERR_CONFIG_SYNTAX, ERR_CONFIG_VALUE */
export function parsePebbleConfig(written: string, file: string): PebbleConfig {
  let json: unknown;
  try {
    json = JSON.parse(written);
  } catch (thrown) {
    const message = `${file}: expected JSON: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_CONFIG_SYNTAX', message, { cause: thrown });
  }
  const result = schema.safeParse(json);
  if (!result.success) {
    const sides = result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new CountersignError('ERR_CONFIG_VALUE', `${file}: ${sides.join('; ')}`);
  }
  return interpret(result.data.pebble);
}

/** What it can be used with, and hardly means. */
export function doubtsAboutPebble(config: PebbleConfig): readonly string[] {
  const { externalAccountBindingRequired, externalAccountMACKeys } = config;
  if (!externalAccountBindingRequired || Object.keys(externalAccountMACKeys).length > 0) return [];
  return [
    'nobody can register: "externalAccountBindingRequired" is true, and "externalAccountMACKeys" has no key',
  ];
}

/** Go takes a member for the one that it knows whatever its case: other projects' files are written so. */
function spelt(written: unknown): unknown {
  if (typeof written !== 'object' || written === null) return written;
  const known = new Map(Object.keys(pebble.shape).map((key) => [key.toLowerCase(), key]));
  return Object.fromEntries(
    Object.entries(written).map(([key, value]) => [known.get(key.toLowerCase()) ?? key, value]),
  );
}

function interpret(found: z.output<typeof pebble>): PebbleConfig {
  const known = Object.keys(pebble.shape);
  const profiles = Object.entries(found.profiles ?? {});
  const named: typeof profiles =
    profiles.length > 0 ? profiles : [['default', { description: 'The default profile' }]];
  return {
    listenAddress: found.listenAddress,
    managementListenAddress: found.managementListenAddress || undefined,
    certificate: found.certificate,
    privateKey: found.privateKey,
    httpPort: found.httpPort ?? 0,
    tlsPort: found.tlsPort ?? 0,
    ocspResponderURL: found.ocspResponderURL || undefined,
    externalAccountBindingRequired: found.externalAccountBindingRequired ?? false,
    externalAccountMACKeys: found.externalAccountMACKeys ?? {},
    caaIdentities: found.caaIdentities?.length ? found.caaIdentities : ['pebble.letsencrypt.org'],
    domainBlocklist: found.domainBlocklist ?? [],
    retryAfter: { authz: found.retryAfter?.authz ?? 0, order: found.retryAfter?.order ?? 0 },
    keyAlgorithm: found.keyAlgorithm || 'rsa',
    profiles: Object.fromEntries(
      named.map(([name, { description, validityPeriod, promoteCommonName }]) => [
        name,
        {
          description: description ?? '',
          validitySeconds: validityPeriod || found.certificateValidityPeriod || defaultValidity,
          promoteCommonName: promoteCommonName ?? false,
        },
      ]),
    ),
    unknown: Object.keys(found).filter((key) => !known.includes(key)),
  };
}
