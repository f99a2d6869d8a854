import { isIP } from 'node:net';
import {
  ConfigError,
  configIssue,
  type Position,
  parseYamlDocuments,
  readDocument,
  type SourceDocument,
} from '@countersign/config';
import { z } from 'zod';

/** What a policy table expects of one request: a row a case. */
export interface TableRow {
  readonly name: string;
  readonly workload: TableWorkload;
  readonly request: TableRequest;
  readonly expect: 'ALLOW' | 'DENY';
  readonly position: Position;
}

export interface TableWorkload {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Protocols that its services declare; a port that is not among them is looked into. */
  readonly ports: ReadonlyMap<number, string>;
}

/** What is absent is absent. */
export interface TableRequest {
  /** A SPIFFE ID, with or without the scheme; undefined: a plaintext caller. */
  readonly principal: string | undefined;
  readonly sourceIp: string | undefined;
  readonly remoteIp: string | undefined;
  readonly destinationIp: string | undefined;
  readonly port: number | undefined;
  readonly sni: string | undefined;
  readonly host: string | undefined;
  /** Undefined: a raw TCP connection. */
  readonly method: string | undefined;
  readonly path: string | undefined;
  /** Names and values alternating. */
  readonly headers: readonly string[];
  /** Verified claims. */
  readonly jwt: Readonly<Record<string, unknown>> | undefined;
}

const scalar = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const port = z.coerce.number().int().min(0).max(65_535);
const address = z.string().refine((text) => isIP(text) !== 0, 'expected an IP address');

const workloadSchema = z.strictObject({
  namespace: z.string().default('default'),
  serviceAccount: z.string().default('default'),
  labels: z.record(z.string(), scalar).nullish(),
  ports: z.record(z.string().regex(/^\d{1,5}$/, 'expected a port'), z.string()).nullish(),
});

const tableSchema = z.array(
  z.strictObject({
    name: z.string().optional(),
    workload: workloadSchema.prefault({}),
    request: z
      .strictObject({
        principal: z.string().min(1).nullish(),
        sourceIp: address.nullish(),
        remoteIp: address.nullish(),
        destinationIp: address.nullish(),
        port: port.nullish(),
        sni: z.string().nullish(),
        host: z.string().nullish(),
        method: z.string().min(1).nullish(),
        path: z.string().nullish(),
        headers: z.record(z.string(), z.union([scalar, z.array(scalar)])).nullish(),
        jwt: z.record(z.string(), z.unknown()).nullish(),
      })
      .prefault({}),
    expect: z.enum(['ALLOW', 'DENY']),
  }),
);

const maxRows = 100_000;
/** A table repeats itself, and whatever wrote it may have made aliases of that. */
const limits = { maxBytes: 32 * 1024 * 1024, maxDocuments: 10, maxAliasCount: 1_000_000 };

/**
 * Reads a table: a list of `{name, workload, request, expect}`.
 *
 * @throws ConfigError
 */
export function parseAuthzTable(text: string, file: string): TableRow[] {
  return readRows(onlyDocument(text, file));
}

/**
 * Reads a list of workloads, each as a row of a table has it.
 *
 * @throws ConfigError
 */
export function parseWorkloads(text: string, file: string): TableWorkload[] {
  return readDocument(z.array(workloadSchema), onlyDocument(text, file)).map(workloadOf);
}

function onlyDocument(text: string, file: string): SourceDocument {
  const documents = parseYamlDocuments(text, file, limits);
  const [document] = documents;
  if (document !== undefined && documents.length === 1) return document;
  const message = `${documents.length} documents, expected one list`;
  throw new ConfigError(file, [
    { code: 'ERR_CONFIG_VALUE', message, path: '', line: 1, column: 1 },
  ]);
}

function readRows(document: SourceDocument): TableRow[] {
  const rows = readDocument(tableSchema, document);
  if (rows.length > maxRows) {
    const message = `${rows.length} rows, at most ${maxRows} are read`;
    throw configIssue(document, [], 'ERR_CONFIG_VALUE', message);
  }
  return rows.map(({ name, workload, request, expect }, index) => ({
    name: name ?? `row ${index + 1}`,
    workload: workloadOf(workload),
    request: {
      principal: request.principal ?? undefined,
      sourceIp: request.sourceIp ?? undefined,
      remoteIp: request.remoteIp ?? undefined,
      destinationIp: request.destinationIp ?? undefined,
      port: request.port ?? undefined,
      sni: request.sni ?? undefined,
      host: request.host ?? undefined,
      method: request.method ?? undefined,
      path: request.path ?? undefined,
      headers: Object.entries(request.headers ?? {}).flatMap(([header, values]) =>
        [values].flat().flatMap((value) => [header, value]),
      ),
      jwt: request.jwt ?? undefined,
    },
    expect,
    position: document.positionOf([index]),
  }));
}

function workloadOf(workload: z.output<typeof workloadSchema>): TableWorkload {
  const { namespace, serviceAccount, labels, ports } = workload;
  return {
    namespace,
    serviceAccount,
    labels: labels ?? {},
    ports: new Map(
      Object.entries(ports ?? {}).map(([number, protocol]) => [Number(number), protocol]),
    ),
  };
}
