import { type Clock, type Denial, denial, type Log, messageOf } from '@countersign/base';
import { ChangeSignal, type Changes } from '@countersign/spiffe';
import {
  type EntryDraft,
  entryLimits,
  formatEntryList,
  newEntryId,
  parseEntryList,
  type RegisteredEntry,
} from '@countersign/wire';
import type { CaConfig } from '../ca-config.ts';
import type { CertificateNames } from '../certificate-names.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { randomOctets } from '../ledger/random-octets.ts';
import type { SharedDocument } from '../ledger/rotation-records.ts';
import { checkDraft } from './check-draft.ts';
import { readEntriesCopy, writeEntriesCopy } from './entries-copy.ts';

export interface EntriesInForce {
  /** Grows with every change. */
  readonly version: number;
  readonly entries: readonly RegisteredEntry[];
}

export type EntryAnswer = { readonly ok: true; readonly entry: RegisteredEntry } | Denial;

interface RegistryOptions {
  readonly ledger: Pick<Ledger, 'document' | 'changeDocument'>;
  readonly trustDomain: string;
  /** Whether other processes may change the ledger too. */
  readonly isShared: boolean;
  /** Where a copy is kept, for a ledger that is restored without it; undefined: nowhere. */
  readonly file?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Of an authority: over its ledger, with a copy in its data directory where it has one. */
export function entryRegistryOf(parts: {
  readonly config: CaConfig;
  readonly ledger: Ledger;
  readonly entriesFile?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}): EntryRegistry {
  const { config, ledger, entriesFile: file, clock, log } = parts;
  const { trustDomain } = config;
  const isShared = config.ledger.postgres !== undefined;
  return new EntryRegistry({ ledger, trustDomain, isShared, file, clock, log });
}

const documentName = 'entries';
/** Between two looks at what other processes over the same ledger changed. */
const lookMs = 150;
const attempts = 5;

/**
 * The registration entries, as all processes over a ledger share them: one document, changed as a whole by whoever has
 * seen the version before. Once a change resolves it is durable, and told here.
 */
export class EntryRegistry implements Changes {
  readonly #options: RegistryOptions;
  readonly #changes: ChangeSignal;
  #kept: EntriesInForce | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<EntriesInForce> | undefined;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#changes = new ChangeSignal((thrown) => {
      options.log.error({ error: messageOf(thrown) }, 'a listener to the entries failed');
    });
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** What is in force now, at most some hundred milliseconds behind other processes. */
  async inForce(): Promise<EntriesInForce> {
    const { isShared, clock } = this.#options;
    const isFresh = !isShared || clock.monotonic() - this.#lookedAt < lookMs;
    if (this.#kept !== undefined && isFresh) return this.#kept;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Whether an entry makes this agent the one that hands out all of these names. */
  async grants(agent: string, { spiffeId, dns, ip }: CertificateNames): Promise<boolean> {
    if (spiffeId === undefined || ip.length > 0) return false;
    const { entries } = await this.inForce();
    const id = spiffeId.toString();
    return entries.some(
      (entry) =>
        entry.agent === agent &&
        entry.spiffeId === id &&
        dns.every((name) => entry.dns.includes(name)),
    );
  }

  /** Denials: ERR_ENTRY_INVALID, ERR_ENTRY_EXISTS, ERR_ENTRY_LIMIT, ERR_LEDGER_DOCUMENT. */
  async create(draft: EntryDraft, by: string): Promise<EntryAnswer> {
    const wrong = checkDraft(draft, this.#options.trustDomain);
    if (wrong !== undefined) return wrong;
    const entry = { id: newEntryId(randomOctets), ...draft };
    return this.#change(by, 'create entry', entry.spiffeId, (entries) => {
      const same = entries.find((each) => isSame(each, draft));
      if (same !== undefined) {
        const detail = `entry "${same.id}" gives "${draft.spiffeId}" by the same agent and selectors`;
        return denial('ERR_ENTRY_EXISTS', detail, { id: same.id });
      }
      if (entries.length >= entryLimits.entries) {
        return denial('ERR_ENTRY_LIMIT', `there are ${entries.length} entries, no more are kept`);
      }
      return { ok: true, entry, entries: [...entries, entry] };
    });
  }

  /** Denials: ERR_ENTRY_UNKNOWN, ERR_LEDGER_DOCUMENT. */
  async delete(id: string, by: string): Promise<EntryAnswer> {
    return this.#change(by, 'delete entry', id, (entries) => {
      const entry = entries.find((each) => each.id === id);
      if (entry === undefined) return denial('ERR_ENTRY_UNKNOWN', `there is no entry "${id}"`);
      return { ok: true, entry, entries: entries.filter((each) => each !== entry) };
    });
  }

  /** Somebody else may be faster: then it is decided again on what they left. */
  async #change(
    by: string,
    asked: string,
    subject: string,
    decide: (entries: readonly RegisteredEntry[]) =>
      | {
          readonly ok: true;
          readonly entry: RegisteredEntry;
          readonly entries: readonly RegisteredEntry[];
        }
      | Denial,
  ): Promise<EntryAnswer> {
    for (let attempt = 1; ; attempt += 1) {
      const { version, entries } = await this.#look();
      const decided = decide(entries);
      if (!decided.ok) return decided;
      const { agent, selectors } = decided.entry;
      const changed = await this.#options.ledger.changeDocument({
        name: documentName,
        replaces: version,
        body: formatEntryList(decided.entries),
        said: {
          what: 'entries',
          by,
          asked,
          subject,
          detail: `agent ${agent}, ${selectors.join(' ')}`,
        },
        forgetsHolders: false,
      });
      if (changed.ok) {
        await this.#copy(decided.entries);
        this.#adopt({ version: changed.version, entries: decided.entries });
        return { ok: true, entry: decided.entry };
      }
      if (attempt === attempts) return changed;
    }
  }

  async #look(): Promise<EntriesInForce> {
    const { ledger, clock } = this.#options;
    const lookedAt = clock.monotonic();
    const found = (await ledger.document(documentName)) ?? (await this.#restore());
    this.#lookedAt = lookedAt;
    if (this.#kept !== undefined && (found?.version ?? 0) <= this.#kept.version) return this.#kept;
    const entries = found === undefined ? [] : parseEntryList(JSON.parse(found.body));
    if (this.#kept !== undefined) await this.#copy(entries);
    return this.#adopt({ version: found?.version ?? 0, entries });
  }

  /** A restored ledger has none: what the data directory knows goes on. */
  async #restore(): Promise<SharedDocument | undefined> {
    const { ledger, file, log } = this.#options;
    const entries = await readEntriesCopy(file);
    if (entries === undefined) return undefined;
    const body = formatEntryList(entries);
    const detail = `${entries.length} entries of the data directory, the ledger had none`;
    const said = {
      what: 'entries',
      by: 'authority',
      asked: 'restore',
      subject: documentName,
      detail,
    } as const;
    const change = { name: documentName, replaces: 0, body, said, forgetsHolders: false };
    const changed = await ledger.changeDocument(change);
    // Another process was faster, with the same or what was made of it.
    if (!changed.ok) return ledger.document(documentName);
    log.warn({ entries: entries.length }, 'entries of the data directory put in the ledger');
    return { name: documentName, version: changed.version, body };
  }

  async #copy(entries: readonly RegisteredEntry[]): Promise<void> {
    const { file, log } = this.#options;
    await writeEntriesCopy(file, entries).catch((thrown: unknown) => {
      log.error({ file, error: messageOf(thrown) }, 'copy of the entries not written');
    });
  }

  #adopt(found: EntriesInForce): EntriesInForce {
    const isNews = this.#kept !== undefined && found.version > this.#kept.version;
    if (this.#kept === undefined || isNews) this.#kept = found;
    if (isNews) this.#changes.notify();
    return this.#kept;
  }
}

function isSame(a: EntryDraft, b: EntryDraft): boolean {
  return (
    a.spiffeId === b.spiffeId &&
    a.agent === b.agent &&
    [...a.selectors].sort().join('\n') === [...b.selectors].sort().join('\n')
  );
}
