import { formatDuration, nearestWord, parseDuration } from '@countersign/base';
import {
  type ConfigPath,
  configIssue,
  durationSchema,
  type SourceDocument,
} from '@countersign/config';
import { isNetwork } from '@countersign/wire';
import { crlLimits } from '@countersign/x509';
import { z } from 'zod';
import { type MethodName, methodNames } from './revocation-method.ts';

/** The `revocation:` block of every edge's configuration, as {@link revocationSchema} reads it. */
export type RevocationConfig = z.output<typeof revocationSchema>;

const methodSchema = z.enum(methodNames);
const addressSchema = z
  .string()
  .max(2048)
  .refine(isPlainHttp, 'expected a plain http address such as http://crl.example.com/ca.crl');

/** What is left out has the value of {@link revocationDefaults}; what the method does not use is refused. */
export const revocationSchema = z.strictObject({
  /** One, or several: then all are asked, and the strictest answer counts. */
  method: z
    .union([methodSchema, z.array(methodSchema).min(1)], {
      error: ({ input }) => `expected ${methodNames.join(', ')} or a list of them${nearest(input)}`,
    })
    .default('feed')
    .transform((written) => [...new Set(typeof written === 'string' ? [written] : written)]),
  /** What becomes of a peer of whom nobody knows whether it is revoked. */
  onUnknown: z.enum(['refuse', 'allow']).default('refuse'),
  /** feed: how long a silent feed's last answers hold. */
  maxSilence: durationSchema().optional(),
  /** crl, ocsp, staple: how long after its end the last list or answer is still used. */
  maxStale: durationSchema().optional(),
  /** crl, ocsp, staple: how long an admission waits for what is not known yet. */
  wait: durationSchema().optional(),
  /** crl, ocsp: every certificate of a peer's chain, or its own alone. */
  scope: z.enum(['chain', 'leaf']).optional(),
  /** lifetime: longest certificate that is let in, from notBefore to notAfter. */
  maxLifetime: durationSchema().optional(),
  crl: z
    .strictObject({
      /** Asked instead of the distribution points of certificates. */
      urls: z.array(addressSchema).min(1).max(64).optional(),
      /** Longest time between two looks; an unchanged list costs an empty answer. */
      refresh: durationSchema().optional(),
      /** Of one list. */
      maxBytes: z.int().min(1024).max(crlLimits.maxBytes).optional(),
    })
    .optional(),
  ocsp: z
    .strictObject({
      /** Asked instead of the responders that certificates name. */
      url: addressSchema.optional(),
      /** Longest time between two questions about a certificate that is in use. */
      refresh: durationSchema().optional(),
      /** A fresh signature for each question, instead of an answer that may have been made ahead. */
      nonce: z.boolean().optional(),
      /** What certificates are named by; every responder knows sha1 (RFC 5019). Nothing is proved by it. */
      hash: z.enum(['sha1', 'sha256']).optional(),
    })
    .optional(),
  /** Gets an OCSP answer about our own certificate, and staples it. */
  stapleOwn: z.boolean().optional(),
  /** crl, ocsp, staple, stapleOwn: how lists and responders are reached. */
  fetch: z
    .strictObject({
      /** Networks that certificates may send us to beside public addresses. */
      allow: z
        .array(z.string().refine(isNetwork, 'expected a network such as 10.0.0.0/8'))
        .optional(),
      /** For one look-up. */
      timeout: durationSchema().optional(),
      maxConcurrent: z.int().min(1).max(1024).optional(),
    })
    .optional(),
});

export const revocationDefaults = {
  maxSilence: parseDuration('1h'),
  maxStale: 0,
  wait: parseDuration('2s'),
  scope: 'chain',
  maxLifetime: parseDuration('24h'),
  crl: { urls: [] as string[], refresh: parseDuration('10m'), maxBytes: crlLimits.maxBytes },
  ocsp: { refresh: parseDuration('10m'), nonce: false, hash: 'sha1' },
  fetch: { allow: [] as string[], timeout: parseDuration('5s'), maxConcurrent: 16 },
} as const;

const lookUps: readonly MethodName[] = ['crl', 'ocsp', 'staple'];

/** Which methods an option is for. */
const usedBy: Readonly<Record<string, readonly (MethodName | 'stapleOwn')[]>> = {
  maxSilence: ['feed'],
  maxStale: lookUps,
  wait: lookUps,
  scope: ['crl', 'ocsp'],
  maxLifetime: ['lifetime'],
  crl: ['crl'],
  ocsp: ['ocsp', 'staple', 'stapleOwn'],
  fetch: [...lookUps, 'stapleOwn'],
};

/**
 * Refuses options that the chosen methods do not use, and values out of range: whoever writes them believes that they
 * do something.
 *
 * @param path of the block in the document
 * @throws ConfigError
 */
export function checkRevocationConfig(
  document: SourceDocument,
  path: ConfigPath,
  config: RevocationConfig,
): void {
  const chosen: readonly string[] = [
    ...config.method,
    ...(config.stapleOwn === true ? ['stapleOwn'] : []),
  ];
  for (const [key, users] of Object.entries(usedBy)) {
    if (!(key in config) || users.some((user) => chosen.includes(user))) continue;
    const message = `${[...path, key].join('.')}: is for ${users.join(', ')}, chosen is ${config.method.join(', ')}`;
    throw configIssue(document, [...path, key], 'ERR_CONFIG_VALUE', message, 'key');
  }
  const ranges: readonly [keys: readonly string[], value: number | undefined, least: number][] = [
    [['maxSilence'], config.maxSilence, 1000],
    [['wait'], config.wait, 1],
    [['maxLifetime'], config.maxLifetime, 1000],
    [['crl', 'refresh'], config.crl?.refresh, 1000],
    [['ocsp', 'refresh'], config.ocsp?.refresh, 1000],
    [['fetch', 'timeout'], config.fetch?.timeout, 1],
  ];
  for (const [keys, value, least] of ranges) {
    if (value === undefined || value >= least) continue;
    const message = `${[...path, ...keys].join('.')}: ${formatDuration(value)}, at least ${formatDuration(least)} is needed`;
    throw configIssue(document, [...path, ...keys], 'ERR_CONFIG_VALUE', message);
  }
  const { maxSilence } = config;
  if (maxSilence === undefined || maxSilence <= longestSilenceMs) return;
  const message = `${[...path, 'maxSilence'].join('.')}: at most 168h may be allowed`;
  throw configIssue(document, [...path, 'maxSilence'], 'ERR_CONFIG_VALUE', message);
}

const longestSilenceMs = parseDuration('7d');

function nearest(input: unknown): string {
  const word = typeof input === 'string' ? nearestWord(input, methodNames) : undefined;
  return word === undefined ? '' : `, the nearest is "${word}"`;
}

function isPlainHttp(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return protocol === 'http:' && username === '' && password === '';
}
