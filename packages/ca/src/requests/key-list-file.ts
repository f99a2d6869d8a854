import { readFile, stat } from 'node:fs/promises';
import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import type { KeyListConfig } from './requests-config.ts';

const maxBytes = 128 * 1024 * 1024;
/** A change of the file is seen after that long. */
const restMs = 1000;

/** A line of each form; comments begin with `#`. */
const lines: Readonly<Record<KeyListConfig['form'], { pattern: RegExp; expected: string }>> = {
  spki: { pattern: /^[0-9a-f]{64}$/, expected: 'a SHA-256 in 64 hexadecimal digits' },
  debian: { pattern: /^[0-9a-f]{20}$/, expected: '20 hexadecimal digits' },
};

/** A file of keys that are not certified, read again when it changed. */
export class KeyListFile {
  readonly config: KeyListConfig;
  readonly #clock: Clock;
  readonly #log: Log;
  #entries: ReadonlySet<string> = new Set();
  #version = '';
  #lookedAt = 0;
  /** The failure that was told last: one that stays is told once. */
  #told = '';

  private constructor(config: KeyListConfig, clock: Clock, log: Log) {
    this.config = config;
    this.#clock = clock;
    this.#log = log;
  }

  /** @throws CountersignError ERR_POLICY_KEY_LIST */
  static async open(config: KeyListConfig, clock: Clock, log: Log): Promise<KeyListFile> {
    const list = new KeyListFile(config, clock, log);
    await list.#read(await versionOf(config.file));
    return list;
  }

  /** Whether the key is listed now. A file that went away or broke since keeps what it last held. */
  async has(entry: string): Promise<boolean> {
    const now = this.#clock.monotonic();
    if (now - this.#lookedAt >= restMs) {
      this.#lookedAt = now;
      await this.#refresh();
    }
    return this.#entries.has(entry);
  }

  async #refresh(): Promise<void> {
    try {
      const version = await versionOf(this.config.file);
      if (version === this.#version) return;
      await this.#read(version);
      const { file } = this.config;
      this.#log.info({ file, keys: this.#entries.size }, 'list of keys read again');
      this.#told = '';
    } catch (thrown) {
      const reason = messageOf(thrown);
      if (reason === this.#told) return;
      this.#told = reason;
      const { file } = this.config;
      this.#log.error({ file, reason }, 'list of keys not read again, what it held is kept');
    }
  }

  async #read(version: string): Promise<void> {
    const { file, form } = this.config;
    const text = await readText(file);
    this.#entries = parseKeyList(text, file, form);
    this.#version = version;
    this.#lookedAt = this.#clock.monotonic();
  }
}

/** @throws CountersignError ERR_POLICY_KEY_LIST with the line */
export function parseKeyList(
  text: string,
  file: string,
  form: KeyListConfig['form'],
): ReadonlySet<string> {
  const { pattern, expected } = lines[form];
  const entries = new Set<string>();
  for (const [index, line] of text.split('\n').entries()) {
    const entry = line.trim().toLowerCase();
    if (entry === '' || entry.startsWith('#')) continue;
    if (!pattern.test(entry)) {
      const sides = `expected ${expected}, found "${line.slice(0, 80)}"`;
      throw failure(`read "${file}", line ${index + 1}: ${sides}`, file);
    }
    entries.add(entry);
  }
  return entries;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'latin1');
  } catch (thrown) {
    throw failure(`read the list of keys "${file}": ${messageOf(thrown)}`, file, thrown);
  }
}

async function versionOf(file: string): Promise<string> {
  try {
    const { size, mtimeMs, ino } = await stat(file);
    if (size <= maxBytes) return `${size} ${mtimeMs} ${ino}`;
    throw failure(`"${file}" has ${size} bytes, at most ${maxBytes} are read`, file);
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    throw failure(`read the list of keys "${file}": ${messageOf(thrown)}`, file, thrown);
  }
}

function failure(message: string, file: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_POLICY_KEY_LIST', message, { fields: { file }, cause });
}
