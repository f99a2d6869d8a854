import { toHex } from '@countersign/base';
import { LineSplitter } from './feed-reader.ts';
import { issueLimits } from './issue-messages.ts';
import { type Members, parseJsonBody, readMessage } from './read-message.ts';

/** What decides which process of which agent gets which identity. */
export interface EntryDraft {
  readonly spiffeId: string;
  /** SPIFFE ID of the agent that hands it out. */
  readonly agent: string;
  /** `unix:uid:1000`; a process must have all of them. */
  readonly selectors: readonly string[];
  readonly hint: string;
  readonly ttlMs?: number;
  readonly jwtTtlMs?: number;
  readonly dns: readonly string[];
  readonly federatesWith: readonly string[];
}

export interface RegisteredEntry extends EntryDraft {
  /** 24 hexadecimal digits. */
  readonly id: string;
}

/** One line of `GET /v1/agent/watch`: everything there is, and again whenever it changes. */
export type AgentFrame =
  | {
      readonly type: 'entries';
      readonly version: number;
      readonly entries: readonly RegisteredEntry[];
    }
  /** The bundle document of the trust domain, as an object. */
  | { readonly type: 'bundle'; readonly bundle: Readonly<Record<string, unknown>> }
  | { readonly type: 'heartbeat' };

export const entryLimits = {
  /** In all. */
  entries: 10_000,
  selectors: 32,
  selectorLength: 4200,
  hintLength: 1024,
  names: 32,
  frameBytes: 32 * 1024 * 1024,
} as const;

/** `type:name:value`; which there are is the agent's to know. */
const selectorRule = {
  pattern: /^[a-z0-9_-]+:[a-z0-9_-]+:[\x20-\x7e]+$/,
  form: 'a selector such as unix:uid:1000',
} as const;
const idRule = { pattern: /^[0-9a-f]{24}$/, form: 'the id of an entry, 24 hexadecimal digits' };

export function newEntryId(random: (octets: number) => Uint8Array): string {
  return toHex(random(12));
}

export function parseEntryDraft(json: unknown): EntryDraft {
  return readMessage('entry', json, readDraft);
}

export function formatEntryDraft(draft: EntryDraft): string {
  return JSON.stringify(draft);
}

export function parseRegisteredEntry(json: unknown): RegisteredEntry {
  return readMessage('entry', json, readEntry, { unknown: 'ignore' });
}

export function formatRegisteredEntry(entry: RegisteredEntry): string {
  return JSON.stringify(entry);
}

export function parseEntryList(json: unknown): readonly RegisteredEntry[] {
  return readMessage('entries', json, readEntries, { unknown: 'ignore' });
}

export function formatEntryList(entries: readonly RegisteredEntry[]): string {
  return JSON.stringify({ entries });
}

export function parseEntryDeletion(json: unknown): { readonly id: string } {
  return readMessage('entry deletion', json, (m) => ({ id: m.text('id', idRule) }));
}

export function formatEntryDeletion(id: string): string {
  return JSON.stringify({ id });
}

export function formatAgentFrame(frame: AgentFrame): string {
  return `${JSON.stringify(frame)}\n`;
}

/** The frames of a watch, each as soon as its line has ended. @throws CountersignError ERR_WIRE_* */
export async function* readAgentFrames(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<AgentFrame, void> {
  const splitter = new LineSplitter(entryLimits.frameBytes);
  for await (const chunk of body) {
    for (const line of splitter.push(chunk)) {
      const json = parseJsonBody(line, 'agent frame', entryLimits.frameBytes);
      yield readMessage('agent frame', json, readFrame, { unknown: 'ignore' });
    }
  }
}

function readFrame(m: Members): AgentFrame {
  const type = m.oneOf('type', ['entries', 'bundle', 'heartbeat']);
  if (type === 'heartbeat') return { type };
  if (type === 'bundle') return { type, bundle: m.object('bundle') };
  return { type, version: m.integer('version', { min: 0 }), entries: readEntries(m) };
}

function readEntries(m: Members): readonly RegisteredEntry[] {
  return m.list('entries', { maxItems: entryLimits.entries }, (item, at) =>
    readMessage(`entries, ${at}`, item, readEntry, { unknown: 'ignore' }),
  );
}

function readEntry(m: Members): RegisteredEntry {
  return { id: m.text('id', idRule), ...readDraft(m) };
}

function readDraft(m: Members): EntryDraft {
  const ttl = { min: 1000, max: issueLimits.ttlMs };
  const ttlMs = m.optional('ttlMs', (name) => m.integer(name, ttl));
  const jwtTtlMs = m.optional('jwtTtlMs', (name) => m.integer(name, ttl));
  const { selectors, selectorLength, hintLength, names } = entryLimits;
  const texts = (name: string) => m.listOfTexts(name, { maxItems: names, max: 255 });
  return {
    spiffeId: m.text('spiffeId', { max: 2048 }),
    agent: m.text('agent', { max: 2048 }),
    selectors: m.list('selectors', { minItems: 1, maxItems: selectors }, (item, at) => {
      if (typeof item !== 'string' || item.length > selectorLength) {
        throw m.fail(at, `is no text of at most ${selectorLength} characters`);
      }
      if (!selectorRule.pattern.test(item)) throw m.fail(at, `is not ${selectorRule.form}`);
      return item;
    }),
    hint: m.optional('hint', (name) => m.text(name, { min: 0, max: hintLength })) ?? '',
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(jwtTtlMs === undefined ? {} : { jwtTtlMs }),
    dns: m.optional('dns', texts) ?? [],
    federatesWith: m.optional('federatesWith', texts) ?? [],
  };
}
