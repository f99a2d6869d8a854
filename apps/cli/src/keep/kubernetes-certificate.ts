import { join, resolve } from 'node:path';
import {
  durationSchema,
  readDocument,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import type { ExtKeyUsage, KeyKind } from '@countersign/x509';
import { z } from 'zod';
import {
  at,
  checkNames,
  type KeepSurroundings,
  otherIssuer,
  usualMode,
  withCommonName,
  wrong,
} from './keep-checks.ts';
import type { KeptCertificate, Output, OutputFormat } from './kept-certificate.ts';

/** What cert-manager's documents may have and what is not done here, refused by name. */
const notDone = [
  'subject',
  'literalSubject',
  'emailAddresses',
  'otherNames',
  'nameConstraints',
  'secretTemplate',
  'encodeUsagesInRequest',
  'signatureAlgorithm',
  'revisionHistoryLimit',
] as const;

const passwordSchema = {
  create: z.boolean(),
  alias: z.string().optional(),
  passwordSecretRef: z.strictObject({ name: z.string(), key: z.string() }).optional(),
};

const keySchema = z.strictObject({
  algorithm: z.enum(['RSA', 'ECDSA', 'Ed25519']).default('RSA'),
  size: z.int().optional(),
  encoding: z.enum(['PKCS1', 'PKCS8']).default('PKCS1'),
  rotationPolicy: z.enum(['Always', 'Never']).default('Always'),
});

const specSchema = z.strictObject({
  secretName: z.string().regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/),
  issuerRef: z.strictObject({
    name: z.string(),
    kind: z.enum(['Issuer', 'ClusterIssuer']).default('Issuer'),
    group: z.literal('cert-manager.io').default('cert-manager.io'),
  }),
  duration: durationSchema().optional(),
  renewBefore: durationSchema().optional(),
  renewBeforePercentage: z.int().min(1).max(99).optional(),
  commonName: z.string().min(1).max(64).optional(),
  dnsNames: z.array(z.string()).max(100).default([]),
  ipAddresses: z.array(z.string()).max(100).default([]),
  uris: z.array(z.string()).max(1, 'expected one URI, the SPIFFE ID').default([]),
  privateKey: keySchema.prefault({}),
  usages: z.array(z.string()).default(['digital signature', 'key encipherment']),
  isCA: z.literal(false, { error: 'a CA is not made here' }).default(false),
  keystores: z
    .strictObject({
      pkcs12: z
        .strictObject({ ...passwordSchema, profile: z.literal('Modern2023').default('Modern2023') })
        .optional(),
      jks: z.strictObject(passwordSchema).optional(),
    })
    .optional(),
  additionalOutputFormats: z
    .array(z.strictObject({ type: z.enum(['CombinedPEM', 'DER']) }))
    .default([]),
});

const certificateSchema = z.strictObject({
  apiVersion: z.literal('cert-manager.io/v1'),
  kind: z.literal('Certificate'),
  metadata: z.looseObject({ name: z.string().min(1).max(253), namespace: z.string().optional() }),
  spec: specSchema,
  status: z.unknown().optional(),
});

type Spec = z.output<typeof specSchema>;

/** Those that say nothing of who may be met: every certificate of ours has the key usages that its key needs. */
const keyUsages: ReadonlySet<string> = new Set([
  'signing',
  'digital signature',
  'key encipherment',
  'key agreement',
]);

const extendedUsages: Readonly<Record<string, ExtKeyUsage>> = {
  'server auth': 'serverAuth',
  'client auth': 'clientAuth',
};

/** What cert-manager's own checks let pass. */
const leastDurationMs = 3_600_000;
const leastRenewBeforeMs = 300_000;

/**
 * A `Certificate` of cert-manager, with `secretName` as the folder: `tls.crt`, `tls.key`, `ca.crt`, and what else it asks for.
 *
 * @throws ConfigError
 */
export function readKubernetesCertificate(
  document: SourceDocument,
  around: KeepSurroundings,
): KeptCertificate {
  refuseOthers(document);
  const { metadata, spec } = readDocument(certificateSchema, document);
  const on = <T>(path: readonly string[], read: () => T) => at(document, ['spec', ...path], read);
  const { dnsNames: dns, ipAddresses: ip, commonName } = spec;
  const named = on(['commonName'], () => withCommonName({ dns, ip }, commonName));
  const names = { spiffeId: spec.uris[0], commonName, ...named };
  on([], () => checkNames(names));
  on(['duration'], () => checkTimes(spec));
  const issuer = on(['issuerRef', 'name'], () => issuerOf(spec, around));
  const folder = resolve(around.folders, spec.secretName);
  const { namespace, name } = metadata;
  return {
    name: namespace === undefined ? name : `${namespace}/${name}`,
    names,
    ttlMs: spec.duration,
    renewBeforeMs: spec.renewBefore,
    renewBeforeShare: (spec.renewBeforePercentage ?? 100 / 3) / 100,
    keyKind: on(['privateKey'], () => keyKindOf(spec)),
    rotatesKey: spec.privateKey.rotationPolicy === 'Always',
    usages: on(['usages'], () => usagesOf(spec)),
    ...issuer,
    folder,
    outputs: on(['keystores'], () => outputsOf(spec, folder, around)),
    command: undefined,
    commandTimeoutMs: 60_000,
    probe: undefined,
  };
}

function refuseOthers(document: SourceDocument): void {
  const { spec, kind } = Object(document.value) as { spec?: object; kind?: unknown };
  if (kind !== 'Certificate') throw unsupported(document, ['kind'], `kind "${String(kind)}"`);
  for (const key of notDone) {
    if (spec !== undefined && key in Object(spec)) {
      throw unsupported(document, ['spec', key], `spec.${key}`);
    }
  }
}

function checkTimes({ duration, renewBefore, renewBeforePercentage }: Spec): void {
  if (duration !== undefined && duration < leastDurationMs) {
    throw wrong('duration is below one hour, which cert-manager refuses');
  }
  if (renewBefore !== undefined && renewBeforePercentage !== undefined) {
    throw wrong('renewBefore and renewBeforePercentage exclude each other');
  }
  if (renewBefore === undefined) return;
  if (renewBefore < leastRenewBeforeMs) {
    throw wrong('renewBefore is below five minutes, which cert-manager refuses');
  }
  if (duration !== undefined && renewBefore >= duration) {
    throw wrong('renewBefore is not below duration');
  }
}

function issuerOf({ issuerRef }: Spec, around: KeepSurroundings) {
  const { issuers, authorities } = around;
  const found = issuers[issuerRef.name];
  if (found !== undefined) {
    return { issuer: found.issuer, profile: found.profile, from: undefined };
  }
  if (issuerRef.name in authorities) {
    const from = otherIssuer(issuerRef.name, around);
    return { issuer: undefined, profile: undefined, from };
  }
  throw wrong(
    `issuer "${issuerRef.name}" is under neither keep.issuers (which intermediate and profile it is, or {}) nor keep.authorities`,
  );
}

function keyKindOf({ privateKey: { algorithm, size } }: Spec): KeyKind {
  if (algorithm === 'Ed25519') return { type: 'Ed25519' };
  if (algorithm === 'RSA') {
    const bits = size ?? 2048;
    if (![2048, 3072, 4096].includes(bits))
      throw wrong(`RSA of ${bits}, expected 2048, 3072, 4096`);
    return { type: 'RSA', bits };
  }
  const curve = ({ 256: 'P-256', 384: 'P-384', 521: 'P-521' } as const)[size ?? 256];
  if (curve === undefined) throw wrong(`ECDSA of ${size}, expected 256, 384, 521`);
  return { type: 'EC', curve };
}

function usagesOf({ usages }: Spec): ExtKeyUsage[] {
  return usages.flatMap((usage) => {
    const extended = extendedUsages[usage];
    if (extended !== undefined) return [extended];
    if (keyUsages.has(usage)) return [];
    throw wrong(`usage "${usage}" is not one that certificates of services have`);
  });
}

function outputsOf(spec: Spec, folder: string, around: KeepSurroundings): Output[] {
  const { keystores, privateKey, additionalOutputFormats } = spec;
  const file = (path: string, format: OutputFormat, more: Partial<Output> = {}): Output => ({
    path: join(folder, path),
    isInFolder: true,
    format,
    mode: usualMode(format),
    owner: undefined,
    group: undefined,
    passwordFile: undefined,
    alias: 'certificate',
    ...more,
  });
  const others = additionalOutputFormats.map(({ type }) =>
    type === 'DER' ? file('key.der', 'key-der') : file('tls-combined.pem', 'combined'),
  );
  const stores = (['pkcs12', 'jks'] as const).flatMap((kind) => {
    const wanted = keystores?.[kind];
    if (wanted?.create !== true) return [];
    const reference = wanted.passwordSecretRef;
    if (reference === undefined) throw wrong(`keystores.${kind} has no passwordSecretRef`);
    // As secretName is a folder, so is the name of the password's secret.
    const passwordFile = resolve(around.folders, reference.name, reference.key);
    const ending = kind === 'jks' ? 'jks' : 'p12';
    const alias = wanted.alias ?? 'certificate';
    if (!/^[a-z0-9._-]{1,64}$/.test(alias)) throw wrong(`alias "${alias}" is not of a-z 0-9 . _ -`);
    return [
      file(`keystore.${ending}`, kind, { passwordFile, alias }),
      file(`truststore.${ending}`, `${kind}-trust`, { passwordFile, mode: 0o644 }),
    ];
  });
  const keyFormat = privateKey.encoding === 'PKCS8' ? 'key' : 'key-traditional';
  return [
    file('tls.key', keyFormat),
    file('tls.crt', 'chain'),
    file('ca.crt', 'bundle'),
    ...others,
    ...stores,
  ];
}
