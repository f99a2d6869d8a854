import { isAbsolute } from 'node:path';
import { formatDuration } from '@countersign/base';
import { type ConfigPath, durationSchema } from '@countersign/config';
import { z } from 'zod';
import type { Report } from '../ca-config-checks.ts';
import type { SecretSource } from '../signers/secret-source.ts';
import { isDatabaseUrl } from './postgres/database-url.ts';
import {
  interpretRetention,
  type RetentionConfig,
  retentionSchema,
} from './retention/retention-config.ts';

/** Where the ledger is (`ledger` in ca.yaml). Durations are milliseconds. */
export interface LedgerConfig {
  /** Undefined: a SQLite file in the data directory. */
  readonly postgres: PostgresConfig | undefined;
  readonly retention: RetentionConfig;
}

export interface PostgresConfig {
  /** Its address: in a file or variable, since there may be a password in it, or as it is. */
  readonly url: SecretSource | { readonly from: 'configuration'; readonly url: string };
  /** Default `countersign`. */
  readonly schema: string;
  /** How long a call waits while the database is away. Default 5 s. */
  readonly timeoutMs: number;
  /** How long between two looks for what other processes committed. Default 50 ms. */
  readonly pollMs: number;
}

export const ledgerSchema = z.strictObject({
  postgres: z
    .strictObject({
      url: z.string().min(1).optional(),
      url_env: z.string().min(1).optional(),
      schema: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,40}$/, 'expected lowercase letters, digits and "_", 41 at most')
        .optional(),
      timeout: durationSchema().optional(),
      poll: durationSchema().optional(),
    })
    .nullish(),
  retention: retentionSchema,
});

type WrittenLedger = z.output<typeof ledgerSchema>;

const bounds = {
  timeout: { from: 100, to: 60_000, otherwise: 5000 },
  poll: { from: 5, to: 100, otherwise: 50 },
} as const;

export function interpretLedger(
  written: WrittenLedger | undefined,
  { report, notices }: { readonly report: Report; readonly notices: string[] },
): LedgerConfig {
  const retention = interpretRetention(written?.retention, report);
  const postgres = written?.postgres ?? undefined;
  if (postgres === undefined) return { postgres: undefined, retention };
  const path = ['ledger', 'postgres'];
  const url = interpretUrl(postgres, path, report);
  if (url.from === 'configuration' && (URL.parse(url.url)?.password ?? '') !== '') {
    const better = 'url: "@FILE" or url_env keep it out of the file';
    notices.push(`"ledger.postgres.url" holds the password of the database: ${better}`);
  }
  const duration = (key: keyof typeof bounds): number => {
    const { from, to, otherwise } = bounds[key];
    const ms = postgres[key] ?? otherwise;
    if (ms < from || ms > to) {
      const sides = `"${formatDuration(ms)}" is not between "${formatDuration(from)}" and "${formatDuration(to)}"`;
      report([...path, key], `ledger.postgres.${key}: ${sides}`);
    }
    return ms;
  };
  return {
    postgres: {
      url,
      schema: postgres.schema ?? 'countersign',
      timeoutMs: duration('timeout'),
      pollMs: duration('poll'),
    },
    retention,
  };
}

function interpretUrl(
  {
    url,
    url_env: variable,
  }: { readonly url?: string | undefined; readonly url_env?: string | undefined },
  path: ConfigPath,
  report: Report,
): PostgresConfig['url'] {
  if (url !== undefined && variable !== undefined) {
    report(path, 'ledger.postgres: "url" and "url_env" exclude each other', { which: 'key' });
  }
  if (variable !== undefined) return { from: 'environment', variable };
  if (url === undefined) {
    const example =
      'url: "@/path/to/file", url: postgres://user@host/database, or url_env: DATABASE_URL';
    report(path, `ledger.postgres: the address of the database is missing, expected ${example}`, {
      which: 'key',
    });
    return { from: 'configuration', url: 'postgres:' };
  }
  const file = /^@(.+)$/s.exec(url)?.[1];
  if (file === undefined) {
    // The value is not repeated: there may be a password in it.
    if (!isDatabaseUrl(url)) {
      const form = 'postgres://user:password@host:port/database';
      report(
        [...path, 'url'],
        `ledger.postgres.url: expected ${form}, or "@" and the path of a file`,
      );
    }
    return { from: 'configuration', url };
  }
  if (!isAbsolute(file)) {
    const sides = `expected "@" and an absolute path, found the relative path "${file}"`;
    report([...path, 'url'], `ledger.postgres.url: ${sides}`);
  }
  return { from: 'file', path: file };
}
