import type { Asked } from './asked.ts';
import type { Grant, Intent, IntentDraft, IssuedCertificate } from './ledger.ts';
import type { WorkerOperation, WorkerResult } from './sqlite-protocol.ts';

/*
 * How a batch crosses between the ledger's front and its thread: one flat list of words. What is cloned in objects costs
 * each name of each member on both sides, and an ArrayBuffer for each certificate; so the two operations that a
 * certificate takes have their members in a fixed order, and bytes cross as text of one octet a character.
 */

/** With each member, optional ones too: one that is added and not written here fails the build. */
type Whole<T> = { readonly [Name in keyof Required<T>]: T[Name] };

type IntendArgs = readonly [draft: IntentDraft, asked: Asked | undefined];

/** Of one batch, or of its answers, one after the other. */
export type Words = unknown[];

export function writeOperations(operations: readonly WorkerOperation[]): Words {
  const words: Words = [];
  for (const { name, args, at } of operations) {
    if (name === 'intend') {
      words.push(intent, at);
      writeIntend(words, args as IntendArgs);
    } else if (name === 'issued') {
      words.push(issued, at);
      writeIssued(words, args as readonly [IssuedCertificate]);
    } else {
      words.push(other, at, name, args);
    }
  }
  return words;
}

export function readOperations(words: Words): WorkerOperation[] {
  const reader = new WordReader(words);
  const operations: WorkerOperation[] = [];
  while (!reader.atEnd) {
    const form = reader.next<number>();
    const at = reader.next<number>();
    if (form === intent) operations.push({ name: 'intend', args: readIntend(reader), at });
    else if (form === issued) operations.push({ name: 'issued', args: readIssued(reader), at });
    else operations.push({ name: reader.next(), args: reader.next(), at });
  }
  return operations;
}

export function writeResults(
  results: readonly WorkerResult[],
  operations: readonly WorkerOperation[],
): Words {
  const words: Words = [];
  for (const [index, result] of results.entries()) {
    const name = operations[index]?.name;
    if (result.ok && name === 'intend' && (result.value as Intent).ok) {
      const { position, serialHex, provisioner } = result.value as Intent;
      words.push(intent, position, serialHex, provisioner);
    } else if (result.ok && name === 'issued') {
      words.push(issued, (result.value as { readonly position: number }).position);
    } else {
      words.push(other, result);
    }
  }
  return words;
}

export function readResults(words: Words): WorkerResult[] {
  const reader = new WordReader(words);
  const results: WorkerResult[] = [];
  while (!reader.atEnd) {
    const form = reader.next<number>();
    if (form === other) results.push(reader.next<WorkerResult>());
    else if (form === issued)
      results.push({ ok: true, value: { position: reader.next<number>() } });
    else results.push({ ok: true, value: readIntent(reader) });
  }
  return results;
}

/** Forms of an operation, and of its answer: a number, since a text that has just crossed is looked up letter by letter. */
const intent = 0;
const issued = 1;
const other = 2;

class WordReader {
  readonly #words: Words;
  #at = 0;

  constructor(words: Words) {
    this.#words = words;
  }

  get atEnd(): boolean {
    return this.#at >= this.#words.length;
  }

  /** The next word, which the writer is known to have written as a T. */
  next<T>(): T {
    this.#at += 1;
    return this.#words[this.#at - 1] as T;
  }
}

function writeIntend(words: Words, [draft, asked]: IntendArgs): void {
  const { grant, spiffeId, names, spkiHash, provisioner, issuer, notAfter } = draft;
  words.push(grant.kind, wordOf(grant), grant.kind === 'token' ? grant.secretHash : undefined);
  words.push(spiffeId, names, spkiHash, provisioner, issuer, notAfter);
  words.push(draft.profile, draft.proofKey, draft.refuseReusedKey, asked?.by, asked?.from);
}

function readIntend(reader: WordReader): IntendArgs {
  const grant = grantOf(reader.next(), reader.next(), reader.next());
  const draft: Whole<IntentDraft> = {
    grant,
    spiffeId: reader.next(),
    names: reader.next(),
    spkiHash: reader.next(),
    provisioner: reader.next(),
    issuer: reader.next(),
    notAfter: reader.next(),
    profile: reader.next(),
    proofKey: reader.next(),
    refuseReusedKey: reader.next(),
  };
  const by = reader.next<string | undefined>();
  const from = reader.next<string | undefined>();
  return [draft, by === undefined ? undefined : { by, from }];
}

/** What a grant says beside its kind; a token's secret goes apart. */
function wordOf(grant: Grant): string | undefined {
  if (grant.kind === 'token') return grant.id;
  if (grant.kind === 'door') return grant.evidence;
  return grant.kind === 'operator' ? undefined : grant.serialHex;
}

function grantOf(kind: Grant['kind'], word: string, secretHash: string): Grant {
  if (kind === 'token') return { kind, id: word, secretHash };
  if (kind === 'door') return { kind, evidence: word };
  return kind === 'operator' ? { kind } : { kind, serialHex: word };
}

function writeIssued(words: Words, [certificate]: readonly [IssuedCertificate]): void {
  const { der } = certificate;
  const octets = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('latin1');
  words.push(certificate.intent, certificate.serialHex, octets);
}

function readIssued(reader: WordReader): readonly [IssuedCertificate] {
  const at = reader.next<number>();
  const serialHex = reader.next<string>();
  const der = Buffer.from(reader.next<string>(), 'latin1');
  const certificate: Whole<IssuedCertificate> = { intent: at, serialHex, der };
  return [certificate];
}

function readIntent(reader: WordReader): Intent {
  const position = reader.next<number>();
  const serialHex = reader.next<string>();
  return {
    ok: true,
    position,
    serial: Buffer.from(serialHex, 'hex'),
    serialHex,
    provisioner: reader.next(),
  };
}
