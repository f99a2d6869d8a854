import type { Log } from '@countersign/base';
import { doubtsAbout, type GatewayFiles, missingProviders } from './gateway-files.ts';

/** Policies that can be used and do not mean what they say: the operator should know, and nothing else follows. */
export function tellDoubts(files: GatewayFiles, trustDomain: string, log: Log): void {
  for (const { code, weight, message, file, position } of doubtsAbout(files, trustDomain)) {
    const line = { code, file, line: position.line };
    if (weight === 'finding') log.warn(line, message);
    else log.info(line, message);
  }
  for (const note of files.notes) log.info({}, note);
  for (const provider of missingProviders(files)) {
    log.warn({ provider }, 'CUSTOM policies ask a provider that is not configured, and so deny');
  }
}
