import { dirname, isAbsolute, join, resolve } from 'node:path';
import {
  configIssue,
  durationSchema,
  parseYamlDocuments,
  readDocument,
  signerSchema,
} from '@countersign/config';
import type { ExtKeyUsage } from '@countersign/x509';
import { z } from 'zod';
import { keyKindNamed, keyTypeNames } from '../key-type-option.ts';
import {
  at,
  checkNames,
  type KeepSurroundings,
  otherIssuer,
  usualMode,
  wrong,
} from './keep-checks.ts';
import {
  type KeptCertificate,
  type Output,
  outputFormats,
  probeProtocols,
  storeFormats,
} from './kept-certificate.ts';
import { readKubernetesCertificate } from './kubernetes-certificate.ts';

/** `keep.yaml`, read and checked. */
export interface KeepConfig {
  /** The authority; `--ca` and the identity's own word override. */
  readonly ca: string | undefined;
  /** The keeper's own identity, absolute; `--identity` overrides. */
  readonly identity: string | undefined;
  readonly certificates: readonly KeptCertificate[];
}

const usageNames: Readonly<Record<string, ExtKeyUsage>> = {
  'server auth': 'serverAuth',
  'client auth': 'clientAuth',
};

const fileSchema = z.strictObject({
  path: z.string().min(1),
  format: z.enum(outputFormats),
  mode: z
    .string({ error: 'expected a mode in quotes, such as "0640"' })
    .regex(/^0?[0-7]{3}$/, 'expected a mode such as "0640"')
    .optional(),
  owner: z.string().min(1).optional(),
  group: z.string().min(1).optional(),
  password_file: z.string().min(1).optional(),
  alias: z
    .string()
    .regex(/^[a-z0-9._-]{1,64}$/)
    .default('identity'),
});

const probeSchema = z.strictObject({
  connect: z.string().regex(/^(\[[^\]]+\]|[^:]+):\d{1,5}$/, 'expected HOST:PORT'),
  server_name: z.string().min(1).optional(),
  protocol: z.enum(probeProtocols).default('tls'),
  within: durationSchema().default(30_000),
});

const entrySchema = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9._-]{1,100}$/),
  own: z.boolean().default(false),
  spiffe_id: z.string().optional(),
  common_name: z.string().min(1).max(64).optional(),
  dns: z.array(z.string().min(1).max(255)).max(100).default([]),
  ip: z.array(z.string()).max(100).default([]),
  ttl: durationSchema().optional(),
  renew_before: durationSchema().optional(),
  key: z
    .strictObject({ type: z.enum(keyTypeNames).default('p256'), rotate: z.boolean().default(true) })
    .prefault({}),
  usages: z.array(z.enum(['server auth', 'client auth'])).default([]),
  profile: z.string().optional(),
  issuer: z.string().optional(),
  from: z.string().optional(),
  folder: z.string().min(1).optional(),
  files: z.array(fileSchema).max(64).default([]),
  command: z.union([z.array(z.string()).min(1), z.string().min(1)]).optional(),
  command_timeout: durationSchema().default(60_000),
  probe: probeSchema.optional(),
});

const keepSchema = z.strictObject({
  keep: z
    .strictObject({
      ca: z.string().optional(),
      identity: z.string().min(1).optional(),
      folders: z.string().min(1).default('.'),
      issuers: z
        .record(
          z.string(),
          z.strictObject({ issuer: z.string().optional(), profile: z.string().optional() }),
        )
        .default({}),
      authorities: z.record(z.string(), signerSchema).default({}),
    })
    .prefault({}),
  certificates: z.array(entrySchema).max(10_000).default([]),
});

type Written = z.output<typeof keepSchema>;
type WrittenEntry = Written['certificates'][number];

/**
 * Reads `keep.yaml`: one document of our own, and any number of cert-manager's, in any order.
 *
 * @throws ConfigError with every issue of a document
 */
export function parseKeepConfig(text: string, file: string): KeepConfig {
  const documents = parseYamlDocuments(text, file);
  const own = documents.filter(({ value }) => !isForeign(value));
  const [document, second] = own;
  if (second !== undefined) {
    throw configIssue(
      second,
      [],
      'ERR_CONFIG_VALUE',
      'a second document with "keep" or "certificates"',
    );
  }
  const written = document === undefined ? readAbsent(file) : readDocument(keepSchema, document);
  const directory = resolve(dirname(file));
  const around = {
    directory,
    folders: resolve(directory, written.keep.folders),
    issuers: written.keep.issuers,
    authorities: written.keep.authorities,
  };
  const ours = written.certificates.map((entry, index) =>
    at(document, ['certificates', index], () => readEntry(entry, around)),
  );
  const foreign = documents
    .filter(({ value }) => isForeign(value))
    .map((each) => readKubernetesCertificate(each, around));
  const certificates = [...ours, ...foreign];
  checkApart(certificates, file);
  const { ca, identity } = written.keep;
  return {
    ca,
    identity: identity === undefined ? undefined : resolve(directory, identity),
    certificates,
  };
}

function isForeign(value: unknown): boolean {
  return typeof value === 'object' && value !== null && ('kind' in value || 'apiVersion' in value);
}

function readAbsent(file: string): Written {
  return readDocument(keepSchema, {
    file,
    value: {},
    positionOf: () => ({ line: 1, column: 1 }),
  });
}

function readEntry(entry: WrittenEntry, around: KeepSurroundings): KeptCertificate {
  const { name, own, dns, ip, ttl, renew_before: renewBefore, command } = entry;
  const names = { spiffeId: entry.spiffe_id, commonName: entry.common_name, dns, ip };
  if (own) {
    const named = Object.values(names).some((each) => each !== undefined && each.length > 0);
    if (named) throw wrong(`"${name}" is own, whose names are those of the keeper's identity`);
  } else {
    checkNames(names);
  }
  if (ttl !== undefined && renewBefore !== undefined && renewBefore >= ttl) {
    throw wrong(`"${name}" has renew_before of its whole ttl`);
  }
  const from = otherIssuer(entry.from, around);
  if (from !== undefined) checkOther(entry);
  const folder = resolve(around.folders, entry.folder ?? name);
  const outputs = outputsOf(entry, folder, around);
  return {
    name,
    names: own ? undefined : names,
    ttlMs: ttl,
    renewBeforeMs: renewBefore,
    renewBeforeShare: 1 / 3,
    keyKind: keyKindNamed(entry.key.type),
    rotatesKey: entry.key.rotate,
    usages: entry.usages.flatMap((usage) => usageNames[usage] ?? []),
    profile: entry.profile,
    issuer: entry.issuer,
    from,
    folder,
    outputs,
    command: typeof command === 'string' ? ['/bin/sh', '-c', command] : command,
    commandTimeoutMs: entry.command_timeout,
    probe: readProbe(entry.probe),
  };
}

/** What only our authority knows of. */
function checkOther({
  name,
  own,
  profile,
  issuer,
  common_name: commonName,
  dns,
}: WrittenEntry): void {
  const ours = { own: own || undefined, profile, issuer };
  const [key] = Object.entries(ours).find(([, value]) => value !== undefined) ?? [];
  if (key !== undefined) throw wrong(`"${name}" has ${key}, which goes without from`);
  if (commonName === undefined || dns[0] === commonName) return;
  throw wrong(`"${name}" has common_name "${commonName}": with from it is the first of dns`);
}

/** What each folder has; entries add to it, and say more of these where they name them. */
const always = [
  { path: 'key.pem', format: 'key' },
  { path: 'cert.pem', format: 'cert' },
  { path: 'chain.pem', format: 'chain' },
  { path: 'bundle.pem', format: 'bundle' },
] as const;

function outputsOf(entry: WrittenEntry, folder: string, around: KeepSurroundings): Output[] {
  const usual = always.filter(({ path }) => !entry.files.some((file) => file.path === path));
  const written = [...usual.map((each) => ({ ...each, alias: 'identity' })), ...entry.files];
  return written.map((file: Partial<WrittenEntry['files'][number]>) => {
    const { path = '', format = 'cert', mode, owner, group, alias = 'identity' } = file;
    const fixed = always.find((each) => each.path === path);
    if (fixed !== undefined && fixed.format !== format) {
      throw wrong(`"${path}" is for format ${fixed.format}, and is "${format}"`);
    }
    const needsPassword = storeFormats.has(format);
    if (needsPassword !== (file.password_file !== undefined)) {
      const side = needsPassword ? 'has no password_file' : 'has a password_file, and no password';
      throw wrong(`file "${path}" of format ${format} ${side}`);
    }
    const isInFolder = isPlainName(path);
    return {
      path: isInFolder ? join(folder, path) : absolute(path, around.directory),
      isInFolder,
      format,
      mode: mode === undefined ? usualMode(format) : Number.parseInt(mode, 8),
      owner,
      group,
      passwordFile:
        file.password_file === undefined
          ? undefined
          : absolute(file.password_file, around.directory),
      alias,
    };
  });
}

function isPlainName(path: string): boolean {
  return !path.includes('/') && !path.startsWith('.');
}

function absolute(path: string, directory: string): string {
  return isAbsolute(path) ? path : resolve(directory, path);
}

function readProbe(written: WrittenEntry['probe']): KeptCertificate['probe'] {
  if (written === undefined) return undefined;
  const colon = written.connect.lastIndexOf(':');
  const port = Number(written.connect.slice(colon + 1));
  if (port < 1 || port > 65_535) throw wrong(`port ${port} is not from 1 to 65535`);
  return {
    host: written.connect.slice(0, colon).replace(/^\[(.*)\]$/, '$1'),
    port,
    serverName: written.server_name,
    protocol: written.protocol,
    withinMs: written.within,
  };
}

/** Two that write the same file would undo each other for ever. */
function checkApart(certificates: readonly KeptCertificate[], file: string): void {
  const owners = new Map<string, string>();
  for (const { name, folder, outputs } of certificates) {
    const outside = outputs.filter(({ isInFolder }) => !isInFolder).map(({ path }) => path);
    for (const path of [folder, ...outside]) {
      const other = owners.get(path);
      if (other !== undefined) {
        throw wrong(`${file}: "${other}" and "${name}" both write "${path}"`);
      }
      owners.set(path, name);
    }
  }
}
