import { startGateway } from '@countersign/gateway';
import { neverRevoked } from '@countersign/spiffe';
import { believedTokens, type GatewayFiles, rulesOf } from './gateway-files.ts';
import type { Running } from './long-running.ts';
import type { GatewayTools, RunGatewayOptions } from './run-gateway.ts';
import { tellDoubts } from './tell-doubts.ts';

/**
 * Wires a gateway whose certificates, anchors and revocation lists are all files that its configuration names: no
 * authority is asked, and whoever writes the files keeps them fresh.
 */
export async function runFileGateway(
  files: GatewayFiles,
  {
    read,
    lookEveryMs,
  }: Pick<RunGatewayOptions, 'lookEveryMs'> & {
    readonly read: () => Promise<GatewayFiles>;
  },
  { cli, log, meter }: GatewayTools,
): Promise<Running> {
  const { clock } = cli;
  // 1. policies of a mesh whose name only it says
  const trustDomain = files.config.authorization.mesh.trustDomain ?? 'cluster.local';
  log.info(
    {},
    'certificates, anchors and revocation lists are those of files, no authority is asked',
  );
  tellDoubts(files, trustDomain, log);
  // 2. the gateway itself
  const drain = Promise.withResolvers<string>();
  const gateway = await startGateway({
    ...{ onDrain: () => drain.resolve('asked to drain') },
    ...(log.levels !== undefined && { logLevel: log.levels }),
    ...{ config: files.config, rules: rulesOf(files, trustDomain), roles: files.roles },
    tokenRules: believedTokens(files, trustDomain),
    ...{ revocation: neverRevoked, lookEveryMs, clock, log, meter },
    revocationReport: () => ({ by: 'files' }),
    metricsText: meter.metricsText,
  });
  return {
    urls: [
      ...gateway.listeners.map(({ url }) => url),
      ...(gateway.adminUrl === undefined ? [] : [gateway.adminUrl]),
    ],
    asked: drain.promise,
    async reload() {
      const next = await read();
      const { config, roles } = next;
      const rules = rulesOf(next, trustDomain);
      gateway.reload({ config, rules, tokenRules: believedTokens(next, trustDomain), roles });
      tellDoubts(next, trustDomain, log);
      await gateway.refresh();
    },
    close: () => gateway.close(),
  };
}
