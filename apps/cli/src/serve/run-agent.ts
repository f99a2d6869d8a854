import { dirname, resolve } from 'node:path';
import { type Agent, type AgentConfig, parseAgentConfig, startAgent } from '@countersign/agent';
import { CountersignError, type Log, type Secret } from '@countersign/base';
import { type AdminServer, startAdminServer } from '@countersign/gateway';
import {
  authorityClient,
  type ProofKey,
  reEnrolByEvidence,
  renewOverMtls,
  startRotation,
} from '@countersign/identity';
import type { BundleSource } from '@countersign/spiffe';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';
import type { Running } from './long-running.ts';
import { obtainIdentity, takeOver } from './obtain-identity.ts';
import type { PrometheusMeter } from './prometheus-meter.ts';

export interface RunAgentOptions {
  readonly config: string;
  readonly socket?: string;
  /** Where its own identity is kept; in memory alone where absent. */
  readonly identity?: string;
  readonly token?: Secret<string>;
  readonly ca?: string;
  readonly proofKey?: ProofKey;
  readonly adminPort?: number;
}

interface Tools {
  readonly cli: Cli;
  readonly log: Log;
  readonly meter: PrometheusMeter;
}

/** Before it is said to be ready, workloads should get what their entries say at once. */
const patienceMs = 10_000;

/** Wires an agent: its own identity → rotation → the authority over mTLS → entries → the socket. */
export async function runAgent(options: RunAgentOptions, tools: Tools): Promise<Running> {
  const { cli, log, meter } = tools;
  const { clock } = cli;
  // 1. configuration
  const config = await readAgentConfig(cli, options.config);
  const socket = socketOf(options, config);
  // 2. who the agent is, kept fresh from here on
  const own = {
    who: 'agent',
    identity: options.identity,
    token: options.token,
    ca: options.ca ?? config.ca,
    proofKey: options.proofKey,
    attest: attestOf(options, config),
  };
  const { identity, url } = await obtainIdentity(own, { clock, log });
  const proof = options.proofKey && { proofKey: options.proofKey };
  let agent: Agent | undefined;
  const live = startRotation({
    identity,
    renew: renewOverMtls({ url, clock, ...proof }),
    ...(own.attest !== undefined && {
      reEnrol: reEnrolByEvidence({ url, source: own.attest.source, clock, ...proof }),
    }),
    ...(options.identity !== undefined && { directory: options.identity }),
    onSwap: ({ bundle }) => agent?.bundles.put(bundle),
    ...{ clock, log, meter },
  });
  // 3. the authority: whoever the newest bundle vouches for
  const { trustDomain } = identity.bundle;
  const bundles: BundleSource = {
    bundle: (name) => agent?.bundles.bundle(name) ?? live.bundle(name),
  };
  const authority = authorityClient({ url, svids: live, bundles, trustDomain, clock });
  let admin: AdminServer | undefined;
  try {
    // 4. the agent itself
    const { maxConnections, entries, federation } = config;
    const readFile = (path: string) =>
      readInput(cli, resolve(dirname(options.config), path), 'read a bundle');
    agent = await startAgent({
      ...{ socket, bundle: identity.bundle, authority, entries, maxConnections },
      ...{ federation, readFile, clock, log, meter },
    });
    if (entries.length === 0) log.warn({}, 'there are no entries: no process gets an identity');
    // 5. metrics and health
    admin = await startAdmin(options, agent, tools);
    await settled(agent, tools);
  } catch (thrown) {
    await agent?.close();
    await live.stop();
    throw thrown;
  }
  const serving = agent;
  return {
    urls: [`unix://${serving.socket}`, ...(admin === undefined ? [] : [admin.url])],
    async reload() {
      const next = await readAgentConfig(cli, options.config);
      serving.setEntries(next.entries);
      await serving.setFederation(next.federation);
      await takeOver(live, options.identity);
    },
    async close() {
      await serving.close();
      await Promise.all([live.stop(), admin?.close()]);
    },
  };
}

/** @throws ConfigError, CountersignError ERR_FILE */
export async function readAgentConfig(cli: Cli, path: string): Promise<AgentConfig> {
  const bytes = await readInput(cli, path, 'read configuration');
  return parseAgentConfig(Buffer.from(bytes).toString('utf8'), path);
}

/** A token's file is where the configuration says, from where that stands. */
function attestOf(
  { config: file }: RunAgentOptions,
  { attest }: AgentConfig,
): AgentConfig['attest'] {
  const { source } = attest ?? {};
  const inFile = (path: string) => resolve(dirname(file), path);
  if (attest === undefined || source === undefined) return attest;
  if (source.kind === 'file')
    return { ...attest, source: { ...source, path: inFile(source.path) } };
  if (source.kind !== 'tpm' || source.certificateFile === undefined) return attest;
  return { ...attest, source: { ...source, certificateFile: inFile(source.certificateFile) } };
}

/** Paths in a file are relative to it, paths on the command line to where it was typed. */
function socketOf({ socket, config }: RunAgentOptions, { socket: written }: AgentConfig): string {
  if (socket !== undefined) return resolve(socket);
  if (written !== undefined) return resolve(dirname(config), written);
  throw new CountersignError('ERR_USAGE', 'agent: no socket is named by --socket or the file', {
    hint: 'give --socket /run/countersign/agent.sock, or agent.socket in the file',
  });
}

async function startAdmin(
  { adminPort }: RunAgentOptions,
  agent: Agent,
  { log, meter }: Tools,
): Promise<AdminServer | undefined> {
  if (adminPort === undefined) return undefined;
  return startAdminServer({
    address: '127.0.0.1',
    port: adminPort,
    metricsText: meter.metricsText,
    unwell: () => agent.unwell(),
    log,
  });
}

async function settled(agent: Agent, { cli, log }: Tools): Promise<void> {
  const patience = new AbortController();
  const tooLong = cli.clock.sleep(patienceMs, { signal: patience.signal }).then(
    () => log.warn({ waitedMs: patienceMs }, 'some entries have no SVID yet'),
    () => {},
  );
  await Promise.race([agent.settled, tooLong]);
  patience.abort();
}
