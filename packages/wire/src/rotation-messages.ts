import { type Members, readMessage } from './read-message.ts';

export const rotationSteps = ['show', 'prepare', 'activate', 'retire', 'rollback'] as const;
export type RotationStep = (typeof rotationSteps)[number];

/** `POST /v1/admin/rotation`, on the admin socket alone: the key of the root or of an intermediate, replaced in steps. */
export interface RotationRequest {
  readonly step: RotationStep;
  /** `root`, or the name of an intermediate. */
  readonly authority: string;
  /** Of `activate`: what share of the holders of the trust bundle must hold the new root, 0 to 1. Default 1. */
  readonly threshold?: number;
  /** Of `activate`, `retire` and `rollback`: whoever is in the way. Default false. */
  readonly force?: boolean;
  /** Of `rollback`: a new key that was active before is given up, too. Default false. */
  readonly drop?: boolean;
  /** Who orders it, for the audit trail. Default `operator`. */
  readonly by?: string;
  /** Of `prepare` under an offline root: PEM that was carried here, each with the name of its file. At most 64. */
  readonly carried?: readonly { readonly file: string; readonly text: string }[];
}

/** What is to be carried to an offline key, to be signed there. */
export interface RotationCarriedRequest {
  /** Its name as a file. */
  readonly file: string;
  /** Who is to sign it. */
  readonly by: string;
  /** SHA-256 of that key, lowercase hex. */
  readonly issuerKey: string;
  /** SHA-256 of the DER that it asks with, lowercase hex. */
  readonly sha256: string;
  readonly text: string;
}

/** A certificate that was carried back. */
export interface RotationTaken {
  readonly subject: string;
  readonly by: string;
  readonly serial: string;
  /** SHA-256 of its DER, lowercase hex. */
  readonly sha256: string;
}

/** A certificate that was given beside those that are waited for. */
export interface RotationPassedOver {
  readonly file: string;
  readonly serial: string;
  /** Why it is no news, for people. */
  readonly why: string;
}

/** Somebody who lacks the trust bundle of now, or whose certificate leads to the old key. */
export interface RotationHolder {
  readonly kind: 'workload' | 'gateway' | 'token';
  /** SPIFFE ID, or the first name of a certificate or token without one. */
  readonly name: string;
  /** Of its certificate. */
  readonly serial?: string;
  /** The process, of a gateway; the id, of a join token. */
  readonly instance?: string;
  /** When it was last heard, or given its certificate; milliseconds since the epoch. */
  readonly lastSeen: number;
  /** When its certificate ends, or its lease, or it can be redeemed no more. */
  readonly until: number;
}

export interface RotationGeneration {
  readonly name: string;
  /** `making`, `prepared`, `active`, `replaced`, `retired` or `dropped`. */
  readonly phase: string;
  readonly since: number;
  /** SHA-256 of its certificate, lowercase hex. */
  readonly fingerprint?: string;
  readonly key?: string;
  readonly notAfter?: number;
}

export interface RotationResponse {
  /** Whether the step changed anything: one that was done before does not. */
  readonly done: boolean;
  readonly authority: string;
  /** `steady`, `making`, `prepared`, or `active` while the old key is not retired. */
  readonly state: string;
  readonly generations: readonly RotationGeneration[];
  /** Of the trust bundle. */
  readonly sequence: number;
  /** SHA-256 of each root in it. */
  readonly anchors: readonly string[];
  /** Of a root under way: who holds the trust bundle of now. At most 1000 are named. */
  readonly uptake?: {
    readonly holders: number;
    readonly holding: number;
    readonly lacking: readonly RotationHolder[];
  };
  /** Certificates in use that lead to the key that is to go, and join tokens that pin it. At most 1000 are named. */
  readonly living?: {
    readonly count: number;
    readonly until: number;
    readonly holders: readonly RotationHolder[];
  };
  /** Under an offline root: what waits to be carried to it. */
  readonly requests?: readonly RotationCarriedRequest[];
  /** Names of the files of everything that waits, of other authorities too: what else was written may go. */
  readonly waiting?: readonly string[];
  /** What was carried back by this step. */
  readonly taken?: readonly RotationTaken[];
  /** What was given beside it and is no news, such as what came back of an earlier time. */
  readonly passedOver?: readonly RotationPassedOver[];
  /** What comes next, for people. */
  readonly next: string;
}

export const mostHoldersNamed = 1000;

const nameRule = {
  pattern: /^[A-Za-z][A-Za-z0-9_-]{0,39}$/,
  form: 'the name of an authority',
} as const;
const tolerant = { unknown: 'ignore' } as const;
const time = { min: 0 } as const;

export function parseRotationRequest(json: unknown): RotationRequest {
  return readMessage('rotation request', json, (m) => {
    const threshold = m.optional('threshold', (name) => m.amount(name));
    if (threshold !== undefined && threshold > 1) {
      throw m.fail('threshold', `is ${threshold}, expected 0 to 1`);
    }
    const force = m.optional('force', (name) => m.boolean(name));
    const drop = m.optional('drop', (name) => m.boolean(name));
    const by = m.optional('by', (name) => m.text(name, { max: 256 }));
    const carried = m.optional('carried', (name) =>
      m.list(name, { maxItems: mostCarried }, readCarried),
    );
    return {
      step: m.oneOf('step', rotationSteps),
      authority: m.text('authority', nameRule),
      ...(threshold === undefined ? {} : { threshold }),
      ...(force === undefined ? {} : { force }),
      ...(drop === undefined ? {} : { drop }),
      ...(by === undefined ? {} : { by }),
      ...(carried === undefined ? {} : { carried }),
    };
  });
}

export function formatRotationRequest(request: RotationRequest): string {
  return JSON.stringify(request);
}

export function parseRotationResponse(json: unknown): RotationResponse {
  return readMessage(
    'rotation response',
    json,
    (m) => {
      const uptake = m.optional('uptake', (name) => readUptake(m.object(name)));
      const living = m.optional('living', (name) => readLiving(m.object(name)));
      const many = { maxItems: 10_000 } as const;
      const requests = m.optional('requests', (name) => m.list(name, many, readRequest));
      const waiting = m.optional('waiting', (name) => m.listOfTexts(name, { ...many, max: 128 }));
      const taken = m.optional('taken', (name) => m.list(name, many, readTaken));
      const passedOver = m.optional('passedOver', (name) => m.list(name, many, readPassedOver));
      return {
        done: m.boolean('done'),
        authority: m.text('authority', nameRule),
        state: m.text('state', { max: 64 }),
        generations: m.list('generations', { maxItems: 10_000 }, readGeneration),
        sequence: m.integer('sequence', { min: 0 }),
        anchors: m.listOfTexts('anchors', { maxItems: 64, max: 64 }),
        ...(uptake === undefined ? {} : { uptake }),
        ...(living === undefined ? {} : { living }),
        ...(requests === undefined ? {} : { requests }),
        ...(waiting === undefined ? {} : { waiting }),
        ...(taken === undefined ? {} : { taken }),
        ...(passedOver === undefined ? {} : { passedOver }),
        next: m.text('next'),
      };
    },
    tolerant,
  );
}

export function formatRotationResponse(response: RotationResponse): string {
  const { uptake, living } = response;
  return JSON.stringify({
    ...response,
    ...(uptake && { uptake: { ...uptake, lacking: uptake.lacking.slice(0, mostHoldersNamed) } }),
    ...(living && { living: { ...living, holders: living.holders.slice(0, mostHoldersNamed) } }),
  });
}

const mostCarried = 64;
const pemText = { max: 64 * 1024 } as const;

function readCarried(item: unknown, at: string): { file: string; text: string } {
  return readMessage(`rotation request ${at}`, item, (m) => ({
    file: m.text('file', { max: 4096 }),
    text: m.text('text', pemText),
  }));
}

function readRequest(item: unknown, at: string): RotationCarriedRequest {
  return readMessage(
    `rotation response ${at}`,
    item,
    (m) => ({
      file: m.text('file', { pattern: /^[A-Za-z][A-Za-z0-9_.-]{0,120}$/, form: 'a file name' }),
      by: m.text('by', { max: 64 }),
      issuerKey: m.text('issuerKey', { max: 64 }),
      sha256: m.text('sha256', { max: 64 }),
      text: m.text('text', pemText),
    }),
    tolerant,
  );
}

function readPassedOver(item: unknown, at: string): RotationPassedOver {
  return readMessage(
    `rotation response ${at}`,
    item,
    (m) => ({
      file: m.text('file', { max: 4096 }),
      serial: m.text('serial', { max: 64 }),
      why: m.text('why', { max: 256 }),
    }),
    tolerant,
  );
}

function readTaken(item: unknown, at: string): RotationTaken {
  return readMessage(
    `rotation response ${at}`,
    item,
    (m) => ({
      subject: m.text('subject', { max: 64 }),
      by: m.text('by', { max: 64 }),
      serial: m.text('serial', { max: 64 }),
      sha256: m.text('sha256', { max: 64 }),
    }),
    tolerant,
  );
}

function readUptake(json: unknown): NonNullable<RotationResponse['uptake']> {
  return readMessage(
    'rotation response uptake',
    json,
    (m) => ({
      holders: m.integer('holders', { min: 0 }),
      holding: m.integer('holding', { min: 0 }),
      lacking: m.list('lacking', { maxItems: mostHoldersNamed }, readHolder),
    }),
    tolerant,
  );
}

function readLiving(json: unknown): NonNullable<RotationResponse['living']> {
  return readMessage(
    'rotation response living',
    json,
    (m) => ({
      count: m.integer('count', { min: 0 }),
      until: m.integer('until', time),
      holders: m.list('holders', { maxItems: mostHoldersNamed }, readHolder),
    }),
    tolerant,
  );
}

function readHolder(item: unknown, at: string): RotationHolder {
  return readMessage(
    `rotation response ${at}`,
    item,
    (m) => ({
      kind: m.oneOf('kind', ['workload', 'gateway', 'token']),
      name: m.text('name'),
      ...optionalText(m, 'serial'),
      ...optionalText(m, 'instance'),
      lastSeen: m.integer('lastSeen', time),
      until: m.integer('until', time),
    }),
    tolerant,
  );
}

function readGeneration(item: unknown, at: string): RotationGeneration {
  return readMessage(
    `rotation response ${at}`,
    item,
    (m) => {
      const notAfter = m.optional('notAfter', (name) => m.integer(name, time));
      return {
        name: m.text('name', { max: 64 }),
        phase: m.text('phase', { max: 64 }),
        since: m.integer('since', time),
        ...optionalText(m, 'fingerprint'),
        ...optionalText(m, 'key'),
        ...(notAfter === undefined ? {} : { notAfter }),
      };
    },
    tolerant,
  );
}

function optionalText<const Name extends string>(m: Members, name: Name): { [N in Name]?: string } {
  const value = m.optional(name, (each) => m.text(each));
  return (value === undefined ? {} : { [name]: value }) as { [N in Name]?: string };
}
