import { type Certificate, fingerprintOf, formatKeyKind, keyKindOf } from '@countersign/x509';
import { uptakeOf } from './activate-rotation.ts';
import { type WaitingRequest, waitingRequests } from './carried-orders.ts';
import { issuerNameOf } from './certify-generation.ts';
import {
  anchorsOf,
  certificateInForce,
  generationsOf,
  inPhase,
  rootName,
} from './hierarchy-view.ts';
import { livingUnderGeneration } from './living-under.ts';
import type { Living, Uptake } from './measure-uptake.ts';
import { mustBeKnown, type RotationContext } from './rotation-context.ts';
import { type Generation, ledgerNameOf, type Phase } from './rotation-document.ts';

export interface GenerationReport {
  readonly name: string;
  readonly phase: Phase;
  readonly since: number;
  /** Undefined while it is in the making. */
  readonly fingerprint: string | undefined;
  readonly key: string | undefined;
  readonly notAfter: number | undefined;
}

export interface RotationReport {
  readonly authority: string;
  /** `steady`: one key, and nothing under way. */
  readonly state: 'steady' | 'making' | 'prepared' | 'active';
  readonly generations: readonly GenerationReport[];
  /** Of the trust bundle. */
  readonly sequence: number;
  /** SHA-256 of each root in it. */
  readonly anchors: readonly string[];
  /** Of a root, while it is prepared or not retired: who holds the bundle of now. */
  readonly uptake: Uptake | undefined;
  /** What leads to the key that is to go: the replaced one, or a prepared one that was active before. */
  readonly living: Living | undefined;
  /** What is to be carried to an offline key; empty where nothing waits. */
  readonly requests: readonly WaitingRequest[];
  /** Names of the files of everything that waits, whichever authority it is for. */
  readonly waiting: readonly string[];
  /** What comes next, for people. */
  readonly next: string;
}

/** @throws CountersignError ERR_ROTATION_NAME, those of the ledger */
export async function showRotation(
  name: string,
  context: RotationContext,
): Promise<RotationReport> {
  const document = context.document();
  mustBeKnown(name, document);
  const prepared = inPhase(document, name, 'prepared');
  const replaced = inPhase(document, name, 'replaced');
  const making = inPhase(document, name, 'making');
  const state =
    replaced !== undefined
      ? 'active'
      : prepared !== undefined
        ? 'prepared'
        : making !== undefined
          ? 'making'
          : 'steady';
  const isRootUnderWay = name === rootName && (state === 'prepared' || state === 'active');
  const uptake = isRootUnderWay ? await uptakeOf(context) : undefined;
  const going = replaced ?? (prepared?.spans.length ? prepared : undefined);
  const living = going === undefined ? undefined : await livingUnderGeneration(going, context);
  const own = making && ledgerNameOf(making);
  const orders = document.orders.filter(({ subject, by }) => subject === own || by === own);
  const requests = waitingRequests({ ...document, orders });
  return {
    authority: name,
    state,
    requests,
    waiting: waitingRequests(document).map(({ file }) => file),
    generations: generationsOf(document, name).map((each) => reportOf(each, context)),
    sequence: document.sequence,
    anchors: anchorsOf(document).map(fingerprintOf),
    uptake,
    living,
    next: requests.length > 0 ? carryStep(requests) : nextStep(name, state, uptake, living),
  };
}

function reportOf(generation: Generation, context: RotationContext): GenerationReport {
  const { name, phase, since, certificates } = generation;
  const [first] = certificates;
  const certificate: Certificate | undefined =
    first === undefined || phase === 'making' || phase === 'dropped'
      ? first?.certificate
      : certificateInForce(context.document(), generation, issuerNameOf(name, context.config));
  const kind = certificate === undefined ? undefined : keyKindOf(certificate.spki);
  return {
    name: ledgerNameOf(generation),
    phase,
    since,
    fingerprint: certificate === undefined ? undefined : fingerprintOf(certificate),
    key: kind === undefined ? undefined : formatKeyKind(kind),
    notAfter: certificate?.notAfter,
  };
}

function carryStep(requests: readonly WaitingRequest[]): string {
  const signers = [...new Set(requests.map(({ by }) => `"${by}"`))].join(', ');
  const what = requests.length === 1 ? '1 request' : `${requests.length} requests`;
  return `carry ${what} to ${signers}, countersign sign there, then root prepare --import what comes back`;
}

function nextStep(
  name: string,
  state: RotationReport['state'],
  uptake: Uptake | undefined,
  living: Living | undefined,
): string {
  // Of a prepared key, what leads to it from the time when it signed.
  const wasActive = living !== undefined;
  if (state === 'steady') return 'prepare, when the key is to be replaced';
  if (state === 'making') return 'prepare, which goes on where it stopped';
  if (state === 'prepared') {
    if (uptake === undefined || uptake.share >= 1) {
      const drop = wasActive ? ' --drop' : '';
      return `activate, or rollback${drop}, which gives the new key up`;
    }
    const { length } = uptake.lacking;
    const how =
      'renew one that stays away where it runs (countersign renew), revoke it if it is gone';
    return `wait until ${length} more hold the new root, then activate; ${how}`;
  }
  if (living === undefined || living.count === 0) return 'retire';
  const until = new Date(living.until ?? 0).toISOString();
  const what = name === rootName ? 'root' : 'key';
  return `wait until nothing leads to the old ${what}, ${until} at the latest, then retire`;
}
