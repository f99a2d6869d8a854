import { type Clock, type Denial, errorOfDenial, type Log } from '@countersign/base';
import type { RotationRequest, RotationResponse } from '@countersign/wire';
import type { CaConfig } from '../ca-config.ts';
import { openStateLedger } from '../ledger/open-state-ledger.ts';
import { openKeyStores } from '../signers/key-stores.ts';
import type { SecretPlaces } from '../signers/secret-source.ts';
import { checkStateConfig } from '../state-config.ts';
import { readMadeCertificates } from '../state-files.ts';
import { readStateManifest, stateLayout } from '../state-layout.ts';
import { openRotationKeys } from './open-rotation.ts';
import { takeRotationStep } from './take-rotation-step.ts';

/**
 * How the keys of a data directory stand that nobody serves. None of them is opened, and nothing that opens them is
 * needed.
 *
 * @throws CountersignError ERR_ROTATION_NAME, ERR_ROTATION_PROOF, ERR_STATE_MISSING, ERR_STATE_BROKEN, ERR_STATE_CONFIG,
 *   and those of the ledger
 */
export async function showStateRotation(
  authority: RotationRequest['authority'],
  options: {
    readonly config: CaConfig;
    readonly data: string;
    readonly secrets: SecretPlaces;
    readonly clock: Clock;
    readonly log: Log;
  },
): Promise<RotationResponse> {
  const { config, data, secrets, clock, log } = options;
  const layout = stateLayout(data);
  const manifest = await readStateManifest(data);
  const made = await readMadeCertificates(layout, manifest);
  checkStateConfig(config, manifest, made, log);
  const { trustDomain } = config;
  const stores = openKeyStores({ trustDomain, sealer: undefined, secrets, clock, log });
  const ledger = await openStateLedger(options);
  try {
    await ledger.proveDocuments();
    const { keys } = await openRotationKeys({
      ...{ config, made, signers: new Map(), stores, ledger, clock, log },
      rootFingerprint: manifest.rootFingerprint,
      file: layout.hierarchy,
    });
    return shown(await takeRotationStep(keys, { step: 'show', authority }));
  } finally {
    await ledger.close();
    await stores.close();
  }
}

function shown(answer: ({ readonly ok: true } & RotationResponse) | Denial): RotationResponse {
  if (!answer.ok) throw errorOfDenial(answer, 'root show');
  const { ok: _, ...response } = answer;
  return response;
}
