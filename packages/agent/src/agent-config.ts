import { CountersignError, messageOf } from '@countersign/base';
import {
  ConfigError,
  type ConfigIssue,
  type ConfigPath,
  durationSchema,
  parseConfigText,
  readDocument,
} from '@countersign/config';
import { parseSpiffeId, parseTrustDomain } from '@countersign/spiffe';
import { z } from 'zod';
import { type AttestConfig, attestSchema, readAttest } from './attest-config.ts';
import { type Entry, makeEntry } from './entries/entry.ts';

/** `agent.yaml`, read and checked. Durations are milliseconds. */
export interface AgentConfig {
  /** Where the socket is; `--socket` overrides. */
  readonly socket: string | undefined;
  /** The authority; `--ca` and the identity's own word override. */
  readonly ca: string | undefined;
  /** In file order, which is that of the identities that a workload gets. */
  readonly entries: readonly Entry[];
  readonly federation: readonly FederatedDomain[];
  readonly maxConnections: number;
  /** How the agent shows what it is, where it has no identity that holds; undefined: by a join token. */
  readonly attest: AttestConfig | undefined;
}

/** A foreign trust domain, and where its bundle comes from. */
export interface FederatedDomain {
  readonly trustDomain: string;
  readonly source:
    | { readonly kind: 'file'; readonly path: string }
    | { readonly kind: 'https_web'; readonly url: string }
    | {
        readonly kind: 'https_spiffe';
        readonly url: string;
        /** Who serves it; of `trustDomain` most often. */
        readonly endpointSpiffeId: string;
        /** The first bundle, by which the endpoint is known at the first contact; a file. */
        readonly bootstrapPath: string;
      };
}

const entrySchema = z.strictObject({
  spiffe_id: z.string(),
  selectors: z.array(z.string()).min(1).max(32),
  hint: z.string().max(1024).default(''),
  ttl: durationSchema().optional(),
  jwt_ttl: durationSchema().optional(),
  dns: z.array(z.string().min(1).max(255)).max(32).default([]),
  federates_with: z.array(z.string()).max(64).default([]),
});

const federationSchema = z.strictObject({
  trust_domain: z.string(),
  bundle_file: z.string().min(1).optional(),
  bundle_endpoint: z
    .strictObject({
      url: z.string().startsWith('https://'),
      profile: z.enum(['https_web', 'https_spiffe']),
      endpoint_spiffe_id: z.string().optional(),
    })
    .optional(),
});

const agentSchema = z.strictObject({
  agent: z
    .strictObject({
      socket: z.string().min(1).optional(),
      ca: z.string().optional(),
      max_connections: z.int().min(1).max(1_000_000).default(10_000),
    })
    .prefault({}),
  attest: attestSchema.optional(),
  entries: z.array(entrySchema).max(10_000).default([]),
  federation: z.array(federationSchema).max(256).default([]),
});

type Written = z.output<typeof agentSchema>;

/**
 * Reads `agent.yaml`.
 *
 * @throws ConfigError with every issue: ERR_CONFIG_SYNTAX, ERR_CONFIG_UNKNOWN_KEY, ERR_CONFIG_VALUE
 */
export function parseAgentConfig(text: string, file: string): AgentConfig {
  const document = parseConfigText(text, file);
  const written = readDocument(agentSchema, document);
  const issues: ConfigIssue[] = [];
  const attempt = <T>(path: ConfigPath, read: () => T): T | undefined => {
    try {
      return read();
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      const at = document.positionOf(path, 'value');
      issues.push({
        code: 'ERR_CONFIG_VALUE',
        message: messageOf(thrown),
        path: path.join('.'),
        ...at,
      });
      return undefined;
    }
  };
  const entries = written.entries.flatMap(
    (entry, index) => attempt(['entries', index], () => readEntry(entry)) ?? [],
  );
  const federation = written.federation.flatMap(
    (each, index) => attempt(['federation', index], () => readFederated(each)) ?? [],
  );
  const { attest: how } = written;
  const attest = how && attempt(['attest'], () => readAttest(how));
  for (const [index, entry] of entries.entries()) {
    attempt(['entries', index], () => checkUnique(entries, entry, index));
  }
  const [first, ...rest] = issues;
  if (first !== undefined) throw new ConfigError(file, [first, ...rest]);
  const { socket, ca, max_connections: maxConnections } = written.agent;
  return { socket, ca, entries, federation, maxConnections, attest };
}

function readEntry(written: Written['entries'][number]): Entry {
  const spiffeId = parseSpiffeId(written.spiffe_id);
  if (spiffeId.path === '') {
    throw wrong(`SPIFFE ID "${spiffeId}" names a trust domain, a workload's has a path`);
  }
  const { ttl, jwt_ttl: jwtTtl } = written;
  return makeEntry({
    spiffeId: spiffeId.toString(),
    selectors: written.selectors,
    hint: written.hint,
    dns: written.dns,
    federatesWith: written.federates_with.map((name) => parseTrustDomain(name)),
    ...(ttl === undefined ? {} : { ttlMs: ttl }),
    ...(jwtTtl === undefined ? {} : { jwtTtlMs: jwtTtl }),
  });
}

function checkUnique(entries: readonly Entry[], { id, spiffeId }: Entry, index: number): void {
  if (entries.findIndex((each) => each.id === id) === index) return;
  throw wrong(`the entry for "${spiffeId}" with these selectors stands here twice`);
}

function readFederated(written: Written['federation'][number]): FederatedDomain {
  const trustDomain = parseTrustDomain(written.trust_domain);
  const { bundle_file: path, bundle_endpoint: endpoint } = written;
  if (endpoint === undefined) {
    if (path === undefined) throw wrong('bundle_file or bundle_endpoint is missing');
    return { trustDomain, source: { kind: 'file', path } };
  }
  const { url, profile, endpoint_spiffe_id: id } = endpoint;
  if (profile === 'https_web') {
    if (path !== undefined || id !== undefined) {
      throw wrong('bundle_file and endpoint_spiffe_id go with profile https_spiffe alone');
    }
    return { trustDomain, source: { kind: 'https_web', url } };
  }
  if (path === undefined || id === undefined) {
    throw wrong(
      'profile https_spiffe needs endpoint_spiffe_id, and bundle_file for its first contact',
    );
  }
  const endpointSpiffeId = parseSpiffeId(id).toString();
  return {
    trustDomain,
    source: { kind: 'https_spiffe', url, endpointSpiffeId, bootstrapPath: path },
  };
}

function wrong(reason: string): CountersignError {
  return new CountersignError('ERR_CONFIG_VALUE', reason);
}
