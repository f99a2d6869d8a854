import { CountersignError, nearestWord } from '@countersign/base';
import { parseTrustDomain } from '@countersign/spiffe';
import { z } from 'zod';

/** What an {@link MtlsProvider} is configured with; each option also in snake case, as YAML files write it. */
export interface MtlsProviderOptions {
  /** Default false: clients are plain. */
  readonly enabled?: boolean;
  /** Default `cluster.local`. */
  readonly trustDomain?: string;
  /** Default `router`. */
  readonly serviceName?: string;
  /** Default `default`. */
  readonly namespace?: string;
  /** Lifetime of every certificate, in whole seconds; 1 to 31,536,000. Default 3,600. */
  readonly certTtlSecs?: number;
  /** The authority's certificate, PEM, the root last. With `caKeyPath`; without both the authority is ephemeral. */
  readonly caCertPath?: string;
  /** The authority's private key, PEM. */
  readonly caKeyPath?: string;
  /** Where the trust anchors are written for others, PEM; what others add there is trusted too. */
  readonly trustBundlePath?: string;
  /** Default false. Plaintext where mTLS fails, logged and counted each time; never in production. */
  readonly allowFallback?: boolean;
  /** Default true. Servers must hold a certificate for the name that was dialled, beside their SPIFFE ID. */
  readonly verifyHostname?: boolean;
}

/** The options with every default in place. */
export interface ProviderSettings {
  readonly enabled: boolean;
  readonly trustDomain: string;
  readonly serviceName: string;
  readonly namespace: string;
  readonly certTtlSecs: number;
  readonly caCertPath: string | undefined;
  readonly caKeyPath: string | undefined;
  readonly trustBundlePath: string | undefined;
  readonly allowFallback: boolean;
  readonly verifyHostname: boolean;
}

/** One segment of a SPIFFE ID (SPIFFE-ID §2.2). */
const segment = z
  .string()
  .regex(/^[a-zA-Z0-9._-]+$/, 'expected letters, digits, ".", "_" and "-"')
  .refine((text) => text !== '.' && text !== '..', 'expected a name, not dots');

const path = z.string().min(1).optional();

const schema = z.strictObject({
  enabled: z.boolean().default(false),
  trustDomain: z.string().default('cluster.local'),
  serviceName: segment.default('router'),
  namespace: segment.default('default'),
  certTtlSecs: z.number().int().min(1).max(31_536_000).default(3600),
  caCertPath: path,
  caKeyPath: path,
  trustBundlePath: path,
  allowFallback: z.boolean().default(false),
  verifyHostname: z.boolean().default(true),
});

/**
 * Reads options in either spelling.
 *
 * @throws CountersignError ERR_PROVIDER_OPTIONS, ERR_SPIFFE_TRUST_DOMAIN
 */
export function readProviderOptions(given: Readonly<Record<string, unknown>>): ProviderSettings {
  const options: Record<string, unknown> = {};
  for (const [written, value] of Object.entries(given)) {
    const name = optionName(written);
    if (Object.hasOwn(options, name)) throw wrong(`option "${name}" is given in both spellings`);
    if (value !== undefined) options[name] = value;
  }
  const result = schema.safeParse(options);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw wrong(`option "${issue?.path.join('.') ?? ''}": ${issue?.message ?? 'not usable'}`);
  }
  const { caCertPath, caKeyPath, trustBundlePath, ...rest } = result.data;
  if ((caCertPath === undefined) !== (caKeyPath === undefined)) {
    const [there, missing] =
      caKeyPath === undefined ? ['caCertPath', 'caKeyPath'] : ['caKeyPath', 'caCertPath'];
    throw wrong(`option "${there}" is given without "${missing}"`);
  }
  const trustDomain = parseTrustDomain(rest.trustDomain);
  return { ...rest, trustDomain, caCertPath, caKeyPath, trustBundlePath };
}

/** The SPIFFE ID of a service here: `spiffe://{domain}/ns/{namespace}/sa/{service}`. */
export function serviceSpiffeId(domain: string, namespace: string, service: string): string {
  return `spiffe://${domain}/ns/${readSegment(namespace)}/sa/${readSegment(service)}`;
}

function readSegment(text: string): string {
  const result = segment.safeParse(text);
  if (result.success) return result.data;
  throw wrong(`name "${text}": ${result.error.issues[0]?.message ?? 'not usable'}`);
}

const names = Object.keys(schema.shape);
const bySnake = new Map(
  names.map((name) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), name]),
);

function optionName(written: string): string {
  if (names.includes(written)) return written;
  const camel = bySnake.get(written);
  if (camel !== undefined) return camel;
  const nearest = nearestWord(written, [...names, ...bySnake.keys()]);
  const hint = nearest === undefined ? '' : `, the nearest is "${nearest}"`;
  throw wrong(`unknown option "${written}"${hint}`);
}

function wrong(message: string): CountersignError {
  return new CountersignError('ERR_PROVIDER_OPTIONS', `mTLS provider: ${message}`);
}
