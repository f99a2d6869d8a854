import { CountersignError } from '@countersign/base';
import { parseSpiffeId } from '@countersign/spiffe';
import {
  formatRevocationWindow,
  parseJoinToken,
  type RevokeRequest,
  type WindowedBy,
  windowedBys,
} from '@countersign/wire';
import type { RevocationReason } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { parseRfc3339 } from '../rfc3339.ts';
import { readSecret } from '../secret-argument.ts';

export interface WhatOptions {
  readonly serial?: string;
  readonly spiffeId?: string;
  readonly spiffePrefix?: string;
  readonly key?: string;
  readonly issuer?: string;
  readonly provisioner?: string;
  readonly token?: string;
  readonly issuedAfter?: string;
  readonly issuedBefore?: string;
  readonly wholeTrustDomain?: true;
  readonly reason?: RevocationReason;
  readonly release?: true;
  readonly block?: true;
  readonly dryRun?: true;
  readonly wait?: number;
}

/** One way to name what is revoked, or a span of time, or both. */
export async function revokeRequestOf(cli: Cli, options: WhatOptions): Promise<RevokeRequest> {
  const { block, dryRun, wait, wholeTrustDomain } = options;
  const named = await namedIn(cli, options);
  const [target, second] = named;
  const span = spanIn(options);
  if (second !== undefined || (target === undefined && span === undefined)) {
    throw revokeUsage(
      `exactly one of ${words.join(', ')} is needed, or --issued-after and --issued-before; ${named.length} are given`,
    );
  }
  return {
    ...(span === undefined ? (target as Named) : { by: 'time', value: within(span, target) }),
    reason: reasonIn(options),
    block: block === true,
    dryRun: dryRun === true,
    ...(wholeTrustDomain === true && { wholeTrustDomain }),
    ...(wait !== undefined && { waitMs: wait }),
  };
}

export function revokeUsage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `revoke: ${reason}`, {
    hint: 'run `countersign revoke --help`',
  });
}

const words = [
  '--serial',
  '--spiffe-id',
  '--spiffe-prefix',
  '--key',
  '--issuer',
  '--provisioner',
  '--token',
] as const;

interface Named {
  readonly by: Exclude<RevokeRequest['by'], 'time'>;
  readonly value: string;
}

interface Span {
  readonly after?: number;
  readonly before?: number;
}

async function namedIn(cli: Cli, options: WhatOptions): Promise<Named[]> {
  const { serial, spiffeId, spiffePrefix, key, issuer, provisioner, token } = options;
  const given: (Named | undefined)[] = [
    serial === undefined ? undefined : { by: 'serial', value: hexOf('--serial', serial) },
    spiffeId === undefined ? undefined : { by: 'spiffe-id', value: spiffeIdIn(spiffeId) },
    spiffePrefix === undefined ? undefined : { by: 'spiffe-prefix', value: spiffePrefix.trim() },
    key === undefined ? undefined : { by: 'key', value: hexOf('--key', key) },
    issuer === undefined ? undefined : { by: 'issuer', value: issuer },
    provisioner === undefined ? undefined : { by: 'provisioner', value: provisioner },
    token === undefined ? undefined : { by: 'token', value: await tokenId(cli, token) },
  ];
  return given.filter((each) => each !== undefined);
}

function spanIn({ issuedAfter, issuedBefore }: WhatOptions): Span | undefined {
  if (issuedAfter === undefined && issuedBefore === undefined) return undefined;
  const after = issuedAfter === undefined ? undefined : parseRfc3339(issuedAfter);
  const before = issuedBefore === undefined ? undefined : parseRfc3339(issuedBefore);
  if (after !== undefined && before !== undefined && after >= before) {
    throw revokeUsage(
      `--issued-after ${issuedAfter} is not before --issued-before ${issuedBefore}`,
    );
  }
  return { ...(after !== undefined && { after }), ...(before !== undefined && { before }) };
}

function within(span: Span, named: Named | undefined): string {
  if (named === undefined) return formatRevocationWindow(span);
  const { by, value } = named;
  if (!(windowedBys as readonly string[]).includes(by)) {
    throw revokeUsage('--serial names one certificate, whenever it was issued');
  }
  return formatRevocationWindow({ ...span, and: { by: by as WindowedBy, value } });
}

function reasonIn({ reason, release }: WhatOptions): RevocationReason {
  if (release !== true) return reason ?? 'unspecified';
  if (reason === undefined || reason === 'removeFromCRL') return 'removeFromCRL';
  throw revokeUsage(`--release takes back a hold, which has no reason; "${reason}" is given`);
}

/** Its id is no secret; the token itself is not sent. */
async function tokenId(cli: Cli, written: string): Promise<string> {
  const plain = written.trim().toLowerCase();
  if (/^[0-9a-f]{16}$/.test(plain)) return plain;
  const secret = await readSecret(cli, written, '--token');
  return parseJoinToken(secret.reveal()).id;
}

function spiffeIdIn(text: string): string {
  try {
    return parseSpiffeId(text).toString();
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    throw revokeUsage(`--spiffe-id: ${thrown.message}`);
  }
}

/** As the ledger writes it: lowercase, without colons and leading zeros of a serial. */
function hexOf(option: string, text: string): string {
  const plain = text.trim().toLowerCase().replaceAll(':', '');
  if (!/^[0-9a-f]+$/.test(plain)) throw revokeUsage(`${option} "${text}" is not hexadecimal`);
  if (option === '--key' && plain.length !== 64) {
    throw revokeUsage(`--key "${text}" has ${plain.length} digits, a SHA-256 has 64`);
  }
  return option === '--serial' ? plain.replace(/^0+(?=.)/, '') : plain;
}
