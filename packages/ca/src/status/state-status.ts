import { type Clock, CountersignError, type Log } from '@countersign/base';
import type { StatusResponse } from '@countersign/wire';
import type { Certificate } from '@countersign/x509';
import type { CaConfig } from '../ca-config.ts';
import { openStateLedger } from '../ledger/open-state-ledger.ts';
import { checkpointPath, keyPath, logDirectory } from '../log/log-files.ts';
import type { PublishingIssuer } from '../publish/publishing-issuer.ts';
import type { SecretPlaces } from '../signers/secret-source.ts';
import { readStateCertificates } from '../state-certificates.ts';
import { stateFaults } from '../state-faults.ts';
import { readStateManifest, stateLayout } from '../state-layout.ts';
import { describeStatus, logStateOf } from './describe-status.ts';
import { missingLists } from './missing-lists.ts';
import { revokedAuthorities } from './revoked-authorities.ts';

/**
 * The status of a data directory that nobody serves: its ledger is opened, no key is. It knows of no lists and of no
 * stores of keys, since those are asked by who serves.
 *
 * @throws CountersignError ERR_STATE_MISSING, ERR_STATE_BROKEN, ERR_STATE_CONFIG, and those of the ledger
 */
export async function stateStatus(options: {
  readonly config: CaConfig;
  readonly data: string;
  readonly secrets: SecretPlaces;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<StatusResponse> {
  const { config, data, version, clock } = options;
  const { isRootOffline, rootFingerprint } = await readStateManifest(data);
  const certificates = await readStateCertificates(data).catch(unlessBroken);
  const { root, intermediates = new Map<string, Certificate>() } = certificates ?? {};
  const faults = await stateFaults(config, data);
  const files = logDirectory(stateLayout(data).log);
  const [note, key] = [await files.read(checkpointPath), await files.read(keyPath)];
  const text = new TextDecoder();
  const ledger = await openStateLedger(options);
  try {
    const live = [...intermediates].map(([name, certificate]) => ({ name, certificate }));
    const issuers = isRootOffline === true && root !== undefined ? [rootAway(root)] : [];
    return await describeStatus({
      version,
      trustDomain: config.trustDomain,
      certificates: [
        ...(root === undefined
          ? []
          : [{ name: 'root', certificate: root, signs: isRootOffline !== true }]),
        ...[...intermediates].map(([name, certificate]) => ({ name, certificate, signs: true })),
      ],
      ...(root === undefined && { rootFingerprint }),
      ledger,
      isRetaining: config.ledger.retention.enabled,
      log: key && logStateOf(note && text.decode(note), text.decode(key).trim()),
      findings: [
        ...faults.map((detail) => ({ about: 'state', detail: `cannot start: ${detail}` })),
        ...(await revokedAuthorities({ live, issuers, ledger })),
        ...(await missingLists({ live, issuers, ledger })),
      ],
      clock,
      uptimeMs: 0,
    });
  } finally {
    await ledger.close();
  }
}

/** What cannot be read is among the faults, and no reason to tell nothing of the rest. */
function unlessBroken(thrown: unknown): undefined {
  if (thrown instanceof CountersignError && thrown.code === 'ERR_STATE_BROKEN') return undefined;
  throw thrown;
}

function rootAway(certificate: Certificate): PublishingIssuer {
  return { name: 'root', certificate, signer: undefined };
}
