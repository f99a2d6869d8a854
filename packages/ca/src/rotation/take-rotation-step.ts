import { type Denial, denial } from '@countersign/base';
import type {
  RotationHolder,
  RotationRequest,
  RotationResponse,
  RotationStep,
} from '@countersign/wire';
import type { KeyRotation } from './key-rotation.ts';
import type { Holder } from './measure-uptake.ts';
import type { StepResult } from './prepare-rotation.ts';
import type { RotationReport } from './show-rotation.ts';

/**
 * One step, and how things stand after it: for the admin socket, and for whoever opens the state.
 *
 * Denials: ERR_ROTATION_STEP, ERR_ROTATION_UPTAKE, ERR_ROTATION_LIVE, ERR_ROTATION_OFFLINE.
 *
 * @throws CountersignError ERR_ROTATION_NAME, ERR_LEDGER_DOCUMENT, ERR_SIGNER_*, those of the ledger
 */
export async function takeRotationStep(
  keys: KeyRotation | undefined,
  request: RotationRequest,
): Promise<({ readonly ok: true } & RotationResponse) | Denial> {
  if (keys === undefined) {
    const message = `${request.step} "${request.authority}": this authority was given its keys from outside`;
    return denial('ERR_ROTATION_OFFLINE', message);
  }
  const result = await steps[request.step](keys, request);
  if (!result.ok) return result;
  const answer = responseOf(await keys.show(request.authority), result.done);
  const { taken = [], passedOver } = result;
  return {
    ...{ ok: true, ...answer },
    ...(taken.length > 0 && { taken }),
    ...(passedOver !== undefined && { passedOver }),
  };
}

const steps: {
  readonly [S in RotationStep]: (
    keys: KeyRotation,
    request: RotationRequest,
  ) => Promise<StepResult>;
} = {
  show: async () => ({ ok: true, done: false }),
  prepare: (keys, { authority, by = operator, carried }) =>
    keys.prepare(authority, { by, carried }),
  activate: (keys, { authority, threshold, force, by = operator }) =>
    keys.activate(authority, { threshold, force, by }),
  retire: (keys, { authority, force, by = operator }) => keys.retire(authority, { force, by }),
  rollback: (keys, { authority, force, drop, by = operator }) =>
    keys.rollBack(authority, { force, drop, by }),
};

const operator = 'operator';

function responseOf(report: RotationReport, done: boolean): RotationResponse {
  const { authority, state, sequence, anchors, uptake, living, next, generations } = report;
  const { requests, waiting } = report;
  return {
    ...{ done, authority, state, sequence, anchors, next, waiting },
    generations: generations.map(({ name, phase, since, fingerprint, key, notAfter }) => ({
      ...{ name, phase, since },
      ...(fingerprint === undefined ? {} : { fingerprint }),
      ...(key === undefined ? {} : { key }),
      ...(notAfter === undefined ? {} : { notAfter }),
    })),
    ...(requests.length > 0 && { requests }),
    ...(uptake === undefined
      ? {}
      : {
          uptake: {
            holders: uptake.holders,
            holding: uptake.holding,
            lacking: uptake.lacking.map(holderOf),
          },
        }),
    ...(living === undefined
      ? {}
      : {
          living: {
            count: living.count,
            until: living.until ?? 0,
            holders: living.holders.map(holderOf),
          },
        }),
  };
}

function holderOf({ kind, name, serial, instance, lastSeen, until }: Holder): RotationHolder {
  return {
    ...{ kind, name, lastSeen, until },
    ...(serial === undefined ? {} : { serial }),
    ...(instance === undefined ? {} : { instance }),
  };
}
