import type { Style } from '../style.ts';
import type { DemoDirectory } from './demo-directory.ts';
import { dnsNameOf, spiffeIdOf } from './demo-files.ts';
import type { Told } from './story.ts';

/** What a reader may type next, in another terminal, while the demo is up. */
export function commandsToTry(style: Style, directory: DemoDirectory, told: Told): string {
  const { bold, dim, cyan } = style;
  const at = directory.shown;
  const port = new URL(told.gatewayUrl).port;
  const curl = (who: string) =>
    `curl --cert ${at}/${who}/chain.pem --key ${at}/${who}/key.pem --cacert ${at}/${who}/bundle.pem`;
  const named = `--resolve ${dnsNameOf('gateway')}:${port}:127.0.0.1 https://${dnsNameOf('gateway')}:${port}`;
  const rows: readonly (readonly [string, string])[] = [
    ['allowed', `${curl('payments')} ${told.gatewayUrl}/orders`],
    ['the same by name', `${curl('payments')} ${named}/orders`],
    ['denied', `${curl('reports')} ${told.gatewayUrl}/orders`],
    ['revoked', `${curl('shop')} ${told.gatewayUrl}/orders`],
    ['an open stream …', `${curl('payments')} -N ${told.gatewayUrl}/orders/stream`],
    [
      '… and its end',
      `npx countersign revoke --data ${at}/state --spiffe-id ${spiffeIdOf('payments')}`,
    ],
    ['what it presents', `npx countersign inspect ${told.gatewayUrl}`],
    [
      'whether to trust it',
      `npx countersign verify --bundle ${at}/reports/bundle.pem ${told.gatewayUrl}`,
    ],
    ['why it refuses', `npx countersign explain ERR_AUTHZ_NO_RULE`],
    ...(told.adminUrl === undefined
      ? []
      : [['what it counts', `curl ${told.adminUrl}/metrics`] as const]),
  ];
  const lines = rows.map(([what, command]) => `${dim(`# ${what}`)}\n${cyan(command)}\n`);
  const files = dim(`Files: ${at}/ · logs: ${at}/log/ · Ctrl-C ends everything`);
  return `\n${bold('It stays up. In another terminal, here, try:')}\n\n${lines.join('')}\n${files}\n`;
}
