import { formatDuration } from '@countersign/base';
import type { ConfigPath } from '@countersign/config';
import { durationSchema } from '@countersign/config';
import { parseIpAddress } from '@countersign/x509';
import { z } from 'zod';
import type { Report } from '../ca-config-checks.ts';

/**
 * What the authority publishes over plain HTTP for relying parties that follow no feed, and what its certificates say of
 * that (`publish` in ca.yaml). Durations are milliseconds.
 */
export interface PublishConfig {
  /** How every address in a certificate begins: `http://…`, without a slash at its end. */
  readonly url: string;
  /** Where the server listens. Default 127.0.0.1. */
  readonly address: string;
  /** Default 8480; 0: any free port. */
  readonly port: number;
  /** Undefined where switched off. */
  readonly crl: CrlConfig | undefined;
  /** Undefined where switched off. */
  readonly ocsp: OcspConfig | undefined;
}

export interface CrlConfig {
  /** From thisUpdate to nextUpdate. Default 24 h. */
  readonly validityMs: number;
  /** A list is made anew after this long though nothing was revoked. Default half the validity. */
  readonly refreshMs: number;
  /** Of the root's list, about intermediates alone. Default 30 days; it is refreshed at half of it. */
  readonly rootValidityMs: number;
  /** Validity of the delta lists; undefined where there are none, which is the default. */
  readonly deltaMs: number | undefined;
  /** Lists that the certificates of an intermediate are spread over by serial number. Default 1: not sharded. */
  readonly shards: number;
  /** A revocation is on its list this long after, at most; what comes in between goes with it. Default 1 s. */
  readonly coalesceMs: number;
  /** What caches are told: a list may be used so long before it is asked for again. Default 1 min. */
  readonly maxAgeMs: number;
}

export interface OcspConfig {
  /** From thisUpdate to nextUpdate of an answer. Default 1 h. */
  readonly validityMs: number;
  /** Lifetime of the delegated responder certificates. Default 7 days; they are replaced at half of it. */
  readonly responderMs: number;
}

const duration = durationSchema().optional();
const port = z.number({ error: 'expected a port number' }).int().min(0).max(65_535);

export const publishSchema = z.strictObject({
  url: z.string().optional(),
  address: z.string().optional(),
  port: port.optional(),
  crl: z
    .strictObject({
      enabled: z.boolean().optional(),
      validity: duration,
      refresh: duration,
      root_validity: duration,
      delta: z
        .union([z.boolean(), durationSchema()], {
          error: 'expected true, false, or how long a delta list is valid, such as 1h',
        })
        .optional(),
      shards: z.number({ error: 'expected a number of lists' }).int().optional(),
      coalesce: duration,
      max_age: duration,
    })
    .nullish(),
  ocsp: z
    .strictObject({ enabled: z.boolean().optional(), validity: duration, responder: duration })
    .nullish(),
});

export type WrittenPublish = z.output<typeof publishSchema>;

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
/** Their numbers have three digits in addresses. */
export const mostShards = 999;

/** The meaning of `publish`; undefined where the file has none: then nothing is published, and certificates say nothing. */
export function interpretPublish(
  written: WrittenPublish | null | undefined,
  report: Report,
): PublishConfig | undefined {
  if (written === null || written === undefined) return undefined;
  const address = written.address ?? '127.0.0.1';
  if (parseIpAddress(address) === undefined) {
    const message = `publish.address: expected an IP address to listen on, found "${address}"`;
    report(['publish', 'address'], message);
  }
  const config: PublishConfig = {
    url: readUrl(written.url, report),
    address,
    port: written.port ?? 8480,
    crl: written.crl?.enabled === false ? undefined : readCrl(written.crl ?? {}, report),
    ocsp: written.ocsp?.enabled === false ? undefined : readOcsp(written.ocsp ?? {}, report),
  };
  if (config.crl === undefined && config.ocsp === undefined) {
    report(['publish'], 'publish: neither crl nor ocsp is enabled, so nothing is published', {
      which: 'key',
    });
  }
  return config;
}

/** Where `publish` says nothing. */
export const defaultCrl: CrlConfig = readCrl({}, () => {});

function readUrl(written: string | undefined, report: Report): string {
  const path = ['publish', 'url'];
  const wrong = (found: string): string => {
    const expected = 'expected the address that certificates name, such as http://pki.example.com';
    report(path, `publish.url: ${expected}, found ${found}`);
    return 'http://missing';
  };
  if (written === undefined) return wrong('none');
  const url = URL.canParse(written) ? new URL(written) : undefined;
  const shown = `"${written.slice(0, 200)}"`;
  if (url === undefined) return wrong(shown);
  // RFC 5280 §8, RFC 6960 A.1: who has to check a certificate in order to check a certificate may never end
  if (url.protocol !== 'http:') return wrong(`${shown}, which is not plain http`);
  const more = [url.username, url.password, url.search, url.hash].find((part) => part !== '');
  if (more !== undefined) return wrong(`${shown}, with "${more}"`);
  if (written.length > longestUrl) return wrong(`one of ${written.length} characters`);
  if (!/^[!-~]+$/.test(written)) return wrong(`${shown}, with other than ASCII characters`);
  return url.href.replace(/\/+$/, '');
}

function readCrl(written: NonNullable<WrittenPublish['crl']>, report: Report): CrlConfig {
  const at = ['publish', 'crl'];
  const validityMs = written.validity ?? day;
  const refreshMs = written.refresh ?? validityMs / 2;
  const rootValidityMs = written.root_validity ?? 30 * day;
  const coalesceMs = written.coalesce ?? Math.min(second, refreshMs);
  const maxAgeMs = written.max_age ?? minute;
  const deltaMs =
    typeof written.delta === 'number'
      ? written.delta
      : written.delta === true
        ? Math.min(hour, validityMs)
        : undefined;
  const shards = written.shards ?? 1;
  const check = checkDuration(at, report);
  check('validity', validityMs, { least: 2 * second, most: 366 * day });
  check('refresh', refreshMs, { least: second, most: validityMs, of: 'validity' });
  check('root_validity', rootValidityMs, { least: 2 * second, most: 366 * day });
  check('coalesce', coalesceMs, { least: 100, most: refreshMs, of: 'refresh' });
  check('max_age', maxAgeMs, { least: 0, most: validityMs, of: 'validity' });
  if (deltaMs !== undefined) {
    check('delta', deltaMs, { least: 2 * second, most: validityMs, of: 'validity' });
  }
  if (shards < 1 || shards > mostShards) {
    const message = `publish.crl.shards: expected 1 to ${mostShards} lists, found ${shards}`;
    report([...at, 'shards'], message);
  }
  return { validityMs, refreshMs, rootValidityMs, deltaMs, shards, coalesceMs, maxAgeMs };
}

function readOcsp(written: NonNullable<WrittenPublish['ocsp']>, report: Report): OcspConfig {
  const validityMs = written.validity ?? hour;
  const responderMs = written.responder ?? Math.max(7 * day, 2 * validityMs);
  const check = checkDuration(['publish', 'ocsp'], report);
  check('validity', validityMs, { least: second, most: 30 * day });
  // An answer must not outlive the certificate that it is signed with, which serves for half its lifetime.
  check('responder', responderMs, {
    least: 2 * validityMs,
    of: 'twice the validity',
    most: 366 * day,
  });
  return { validityMs, responderMs };
}

function checkDuration(under: ConfigPath, report: Report) {
  return function check(
    key: string,
    ms: number,
    bounds: { readonly least: number; readonly most: number; readonly of?: string },
  ): void {
    if (ms >= bounds.least && ms <= bounds.most) return;
    const path = [...under, key];
    const [least, most] = [formatDuration(bounds.least), formatDuration(bounds.most)];
    const of = bounds.of === undefined ? '' : ` (${bounds.of})`;
    const expected = ms < bounds.least ? `at least ${least}` : `at most ${most}`;
    report(path, `${path.join('.')}: expected ${expected}${of}, found ${formatDuration(ms)}`);
  };
}

/** With a path behind it, it stands in every certificate. */
const longestUrl = 200;
