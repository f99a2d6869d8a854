import type { Log, Secret } from '@countersign/base';
import {
  allowUnproved,
  type Gateway,
  type GatewayOptions,
  LoggedPeers,
  startGateway,
} from '@countersign/gateway';
import { authorityClient, type ProofKey } from '@countersign/identity';
import { parseNoteKey } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { type EdgeIdentity, openEdgeIdentity } from './edge-identity.ts';
import { startEdgeRevocation } from './edge-revocation.ts';
import {
  believedTokens,
  type GatewayFiles,
  type GatewayFilesOptions,
  readGatewayFiles,
  rulesOf,
} from './gateway-files.ts';
import type { Running } from './long-running.ts';
import type { ProcessLog } from './pino-log.ts';
import type { PrometheusMeter } from './prometheus-meter.ts';
import { runFileGateway } from './run-file-gateway.ts';
import { tellDoubts } from './tell-doubts.ts';

export interface RunGatewayOptions extends GatewayFilesOptions {
  /** Where the identity is kept, and taken from when somebody else renews it there. */
  readonly identity?: string;
  /** Enrols where there is no identity yet. */
  readonly token?: Secret<string>;
  readonly ca?: string;
  readonly proofKey?: ProofKey;
  /** Where what was received of revocations is kept, for a start while the authority is down. */
  readonly data?: string;
  /** What is read instead of a file, for commands that have another language: what of it was not given is theirs to say. */
  readonly read?: () => Promise<GatewayFiles>;
  /** How often it is looked whether files of the model have changed; every second unless given. */
  readonly lookEveryMs?: number;
  /** The verb, for messages. */
  readonly who?: string;
  /** What is started instead of a gateway, for commands that are more than one. */
  readonly start?: (options: GatewayOptions) => Promise<Gateway>;
}

/** What a gateway is run with. */
export interface GatewayTools {
  readonly cli: Cli;
  readonly log: Log & { readonly levels?: ProcessLog['levels'] };
  readonly meter: PrometheusMeter;
}

/** Before it is said to be ready, it should know who is revoked; without that word it refuses everybody. */
const feedPatienceMs = 10_000;

/**
 * Wires a gateway: identity → rotation → revocation → listener. Only this file knows that the gateway's identity is the
 * rotator, and its revocation source what its configuration chose.
 */
export async function runGateway(
  options: RunGatewayOptions,
  tools: GatewayTools,
): Promise<Running> {
  const { cli, log, meter } = tools;
  const { clock } = cli;
  // 1. configuration and rules
  const read = options.read ?? (() => readGatewayFiles(cli, options));
  const files = await read();
  if (options.read === undefined && files.policies.length === 0) {
    log.warn({}, 'no policy is given: everybody whom the handshake lets in may call everything');
  }
  if (!files.needsIdentity && options.identity === undefined && options.token === undefined) {
    return runFileGateway(files, { ...options, read }, tools);
  }
  // 2. who we are, kept fresh from here on
  const own = await openEdgeIdentity({ who: 'gateway', ...options }, files.config, tools);
  const { live, url } = own;
  // 3. who is revoked; news of it re-asks the connections, and what the feed's news cut is acknowledged
  let gateway: Gateway | undefined;
  const drain = Promise.withResolvers<string>();
  const revocation = startEdgeRevocation({
    ...{ config: files.config.revocation, url, live, data: options.data, clock, log, meter },
    maxPeers: files.config.limits.maxConnections * files.config.model.listeners.length,
    recheck: () => gateway?.recheck() ?? nothingCut,
    countOpen: (concerns) => gateway?.countOpen(concerns) ?? 0,
  });
  const { checks, staples, checkSelf, notReady } = revocation;
  const loggedPeers = startLoggedPeers(files.config, { url, live }, tools);
  const { trustDomain } = live.svid().spiffeId;
  try {
    const rules = rulesOf(files, trustDomain);
    tellDoubts(files, trustDomain, log);
    // 4. the gateway itself
    const start = options.start ?? startGateway;
    gateway = await start({
      ...{ onDrain: () => drain.resolve('asked to drain') },
      ...(log.levels !== undefined && { logLevel: log.levels }),
      ...{ config: files.config, rules, roles: files.roles, clock, log, meter },
      tokenRules: believedTokens(files, trustDomain),
      ...{ svids: live, bundles: live, revocation: checks, ownRevocation: checkSelf },
      ...(staples !== undefined && { staple: staples.staple }),
      ...(loggedPeers !== undefined && { loggedPeers }),
      ...{ notReady, lookEveryMs: options.lookEveryMs },
      revocationReport: () => ({ ...checks.report(), ownStaple: staples?.report() }),
      metricsText: meter.metricsText,
    });
    const urls = {
      urls: gateway.listeners.map(({ url: each }) => each),
      adminUrl: gateway.adminUrl,
    };
    revocation.ready.then(
      () => log.info(urls, 'gateway serves'),
      () => {},
    );
    await knowRevocations(revocation.ready, tools);
  } catch (thrown) {
    await gateway?.close();
    loggedPeers?.stop();
    await Promise.all([revocation.stop(), own.stop()]);
    throw thrown;
  }
  const serving = gateway;
  return {
    urls: [
      ...serving.listeners.map(({ url: each }) => each),
      ...(serving.adminUrl === undefined ? [] : [serving.adminUrl]),
    ],
    asked: drain.promise,
    async reload() {
      const next = await read();
      const { config, roles } = next;
      const tokenRules = believedTokens(next, trustDomain);
      serving.reload({ config, rules: rulesOf(next, trustDomain), tokenRules, roles });
      tellDoubts(next, trustDomain, log);
      await own.refresh();
    },
    async close() {
      await serving.close();
      loggedPeers?.stop();
      await Promise.all([revocation.stop(), own.stop()]);
    },
  };
}

/** Where the configuration requires that peers are in the issuance log: who asks the authority for the proofs. */
function startLoggedPeers(
  { issuanceLog, limits, listeners }: GatewayFiles['config'],
  { url, live }: Pick<EdgeIdentity, 'url' | 'live'>,
  { cli, log, meter }: GatewayTools,
): LoggedPeers | undefined {
  if (issuanceLog === undefined || url === undefined) return undefined;
  const { clock } = cli;
  const { trustDomain } = live.svid().spiffeId;
  return new LoggedPeers({
    key: parseNoteKey(issuanceLog.key),
    authority: authorityClient({ url, svids: live, bundles: live, trustDomain, clock }),
    waitMs: issuanceLog.wait,
    onSilence: issuanceLog.onSilence === 'allow' ? allowUnproved : 'refuse',
    capacity: 2 * limits.maxConnections * listeners.length,
    ...{ clock, log, meter },
  });
}

const nothingCut = { closed: 0, kept: 0, elapsedMs: 0, codes: {} };

async function knowRevocations(ready: Promise<void>, { cli, log }: GatewayTools): Promise<void> {
  const patience = new AbortController();
  const tooLong = cli.clock.sleep(feedPatienceMs, { signal: patience.signal }).then(
    () =>
      log.warn(
        { waitedMs: feedPatienceMs },
        'the revocation feed is not heard yet: everybody is refused until it is',
      ),
    () => {},
  );
  await Promise.race([ready, tooLong]);
  patience.abort();
}
