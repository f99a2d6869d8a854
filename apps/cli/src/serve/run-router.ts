import { dirname, resolve } from 'node:path';
import { CountersignError, type Log } from '@countersign/base';
import { type AdminServer, startAdminServer } from '@countersign/gateway';
import { type Router, type RouterConfig, startRouter, watchSupergraph } from '@countersign/router';
import type { Cli } from '../cli.ts';
import type { Running } from './long-running.ts';
import type { PrometheusMeter } from './prometheus-meter.ts';
import { type RouterFilesOptions, readRouterFiles, routerReader } from './router-files.ts';
import { openRouterIdentity } from './router-identity.ts';

export interface RunRouterOptions extends RouterFilesOptions {
  readonly adminPort?: number;
  /** Where the identity of an `issuer` is kept. */
  readonly identity?: string;
  /** Where what was received of revocations is kept. */
  readonly data?: string;
  /** allow_fallback is meant, in production too. */
  readonly forceFallback?: boolean;
}

interface Tools {
  readonly cli: Cli;
  readonly log: Log;
  readonly meter: PrometheusMeter;
}

/** Before it is said to be ready, it should know who is revoked; without that word it refuses everybody. */
const feedPatienceMs = 10_000;

/** Wires a router: configuration → identity → revocation → router. Only this file knows who issued its identity. */
export async function runRouter(options: RunRouterOptions, tools: Tools): Promise<Running> {
  const { cli, log, meter } = tools;
  const { clock } = cli;
  // 1. configuration
  const config = await readRouterFiles(cli, options);
  checkFallback(config, options, cli);
  if (options.identity !== undefined && config.issuer === undefined) {
    const message = 'router: --identity goes with "issuer" in the file';
    const hint = 'write where an identity of ours is as authority.identity';
    throw new CountersignError('ERR_USAGE', message, { hint });
  }
  // 2. who we are and whom we trust, kept fresh from here on
  let router: Router | undefined;
  const identity = await openRouterIdentity(config, {
    ...{ cli, log, meter, data: options.data, identity: options.identity },
    directory: resolve(dirname(options.config)),
    recheck: () => router?.recheck() ?? nothingCut,
    countOpen: (concerns) => router?.countOpen(concerns) ?? 0,
  });
  // 3. the router itself
  let admin: AdminServer | undefined;
  try {
    const { svids, svidsOf, bundles, revocation, status: mtlsStatus } = identity;
    const files = routerReader(cli);
    await Promise.race([identity.ready, clock.sleep(feedPatienceMs, { ref: false })]);
    router = await startRouter({
      ...{ config, svids, svidsOf, bundles, revocation, mtlsStatus, ...files, clock, log, meter },
    });
    if (options.adminPort !== undefined) {
      const { status } = router;
      const { metricsText } = meter;
      admin = await startAdminServer({
        ...{ address: '127.0.0.1', port: options.adminPort, unwell: identity.unwell },
        ...{ status, metricsText, log },
      });
    }
  } catch (thrown) {
    await router?.close();
    await identity.close();
    throw thrown;
  }
  const serving = router;
  let inForce = config;
  const reload = async () => {
    const next = await readRouterFiles(cli, { ...options, port: config.listen.port });
    checkFallback(next, options, cli);
    await serving.reload(next);
    inForce = next;
  };
  // 4. a supergraph that is written anew is taken over by itself
  const watching = watchSupergraph({ config: () => inForce, reload, clock, log });
  return {
    urls: [serving.url, ...(admin === undefined ? [] : [admin.url])],
    async reload() {
      await reload();
      await identity.refresh();
    },
    async close() {
      watching();
      await serving.close();
      await admin?.close();
      await identity.close();
    },
  };
}

const nothingCut = { closed: 0, kept: 0, elapsedMs: 0, codes: {} };

function checkFallback(
  { mtls, subgraphs }: RouterConfig,
  { forceFallback = false }: RunRouterOptions,
  { env }: Cli,
): void {
  const falls = mtls.allow_fallback || subgraphs.some((each) => each.mtls.allow_fallback === true);
  if (!falls || forceFallback || env.NODE_ENV !== 'production') return;
  throw new CountersignError(
    'ERR_ROUTER_FALLBACK',
    'allow_fallback is set, and NODE_ENV is production',
  );
}
