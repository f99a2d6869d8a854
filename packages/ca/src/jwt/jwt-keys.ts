import { createPublicKey, hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  type Clock,
  CountersignError,
  type Log,
  messageOf,
  writeFileDurably,
} from '@countersign/base';
import { ChangeSignal, type Changes, type PublicJwk } from '@countersign/spiffe';
import type { Signer } from '@countersign/x509';
import type { Ledger } from '../ledger/ledger.ts';
import { formatKeyDescription, parseKeyDescription } from '../signers/key-reference.ts';
import type { KeyStore } from '../signers/key-store.ts';
import { type JwtConfig, jwtKeyKinds } from './jwt-config.ts';
import { formatPublishedKeys, type PublishedKey, parsePublishedKeys } from './published-keys.ts';

export interface JwtKeysOptions {
  readonly config: JwtConfig;
  readonly ledger: Pick<Ledger, 'document' | 'changeDocument'>;
  readonly store: KeyStore;
  /** Where the keys of this process are kept; undefined: nowhere, and the next start has new ones. */
  readonly file: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** A key of this process, which signs between two moments. */
interface OwnKey {
  readonly kid: string;
  readonly activeAt: number;
  readonly signer: Signer;
}

/** As the file has it: the description is sealed, or says where the key is. */
interface KeptKey {
  readonly kid: string;
  readonly activeAt: number;
  readonly description: string;
}

const documentName = 'jwt-keys';
const lookMs = 1000;
/** Keys are made and forgotten also while nobody asks. */
const turnMs = 5000;
const attempts = 5;
const keyName = '(JWT-SVIDs)';
const kidLength = 22;

/**
 * The keys that sign JWT-SVIDs. Each process over a ledger has its own; their public halves stand in one document of the
 * ledger, from before a key signs until its last token has ended, and are what the bundle has.
 */
export class JwtKeys implements Changes {
  readonly #options: JwtKeysOptions;
  readonly #changes: ChangeSignal;
  #own: readonly OwnKey[] = [];
  #kept: readonly KeptKey[] = [];
  #published: readonly PublishedKey[] = [];
  #publicKeys: readonly PublicJwk[] = [];
  #version = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;
  readonly #stopping = new AbortController();
  #turn: Promise<void> = Promise.resolve();

  private constructor(options: JwtKeysOptions) {
    this.#options = options;
    this.#changes = new ChangeSignal((thrown) => {
      options.log.error({ error: messageOf(thrown) }, 'a listener to the JWT keys failed');
    });
  }

  /** @throws CountersignError ERR_STATE_BROKEN, ERR_KEY_*, those of the ledger */
  static async open(options: JwtKeysOptions): Promise<JwtKeys> {
    const keys = new JwtKeys(options);
    await keys.#read();
    await keys.keep();
    void keys.#run();
    return keys;
  }

  /** Nothing is made or published any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#turn.catch(() => {});
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** Those that may have signed a token that has not ended. The same list for as long as nothing changes. */
  get publicKeys(): readonly PublicJwk[] {
    return this.#publicKeys;
  }

  /** Grows with every change of {@link publicKeys}, by whichever process. */
  get version(): number {
    return this.#version;
  }

  /** The key that signs now. */
  async current(): Promise<{ readonly kid: string; readonly signer: Signer }> {
    await this.keep();
    const active = this.#active(this.#options.clock.now());
    if (active !== undefined) return active;
    throw new CountersignError('ERR_SIGNER', 'there is no key for JWT-SVIDs');
  }

  /** Makes and publishes what is due, and forgets what is over. Cheap where nothing is; asked before every use. */
  keep(): Promise<void> {
    const { clock } = this.#options;
    if (clock.monotonic() - this.#lookedAt < lookMs) return this.#turn;
    this.#lookedAt = clock.monotonic();
    this.#turn = this.#turn.then(
      () => this.#keepNow(),
      () => this.#keepNow(),
    );
    return this.#turn;
  }

  async #keepNow(): Promise<void> {
    const { config, clock } = this.#options;
    await this.#follow();
    const now = clock.now();
    // 1. keys whose last token has ended
    const isLiving = ({ goneAt }: PublishedKey) => goneAt > now;
    if (!this.#published.every(isLiving)) await this.#publish((keys) => keys.filter(isLiving));
    const living = new Set(this.#published.map(({ jwk }) => jwk.kid));
    this.#own = this.#own.filter((key) => living.has(key.kid));
    this.#kept = this.#kept.filter((key) => living.has(key.kid));
    // 2. a key that may sign now; after a long sleep or at the first start it could not be published ahead
    if (this.#active(now) === undefined) await this.#add(now);
    // 3. the next key, as long ahead as consumers may take to look again
    const newest = this.#own.at(-1);
    if (newest === undefined) return;
    const nextAt = newest.activeAt + config.keyLifetimeMs - config.publishAheadMs;
    if (now >= nextAt) await this.#add(now + config.publishAheadMs);
  }

  /** The newest whose tokens of now will all have ended while it is still published. */
  #active(now: number): OwnKey | undefined {
    const lastAt = now + this.#options.config.maxTtlMs;
    const isLasting = (kid: string) =>
      this.#published.some((key) => key.jwk.kid === kid && key.goneAt >= lastAt);
    return this.#own.findLast((key) => key.activeAt <= now && isLasting(key.kid));
  }

  /** On disk, then published, then used: no token is signed by a key that nobody can know. */
  async #add(activeAt: number): Promise<void> {
    const { config, store, log } = this.#options;
    const description = await store.generate(jwtKeyKinds[config.algorithm], keyName);
    const signer = await store.open(description);
    const kid = kidOf(signer);
    const kept = { kid, activeAt, description: formatKeyDescription(description) };
    await this.#write([...this.#kept, kept]);
    const endsAt = activeAt + config.keyLifetimeMs + config.publishAheadMs;
    const goneAt = endsAt + config.maxTtlMs;
    const jwk = { ...jwkOf(signer), kid, alg: config.algorithm };
    await this.#publish((keys) => [...keys, { jwk, activeAt, goneAt }]);
    this.#own = [...this.#own, { kid, activeAt, signer }].sort((a, b) => a.activeAt - b.activeAt);
    log.info({ kid, activeAt, goneAt }, 'key for JWT-SVIDs published');
  }

  async #publish(
    change: (keys: readonly PublishedKey[]) => readonly PublishedKey[],
  ): Promise<void> {
    const { ledger } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      const keys = change(this.#published);
      const changed = await ledger.changeDocument({
        name: documentName,
        replaces: this.#version,
        body: formatPublishedKeys(keys),
        said: {
          what: 'tokens',
          by: 'authority',
          asked: 'publish keys for JWT-SVIDs',
          subject: keys.map(({ jwk }) => jwk.kid).join(' '),
          detail: `${keys.length} keys`,
        },
        forgetsHolders: false,
      });
      if (changed.ok) {
        this.#adopt(changed.version, keys);
        return;
      }
      if (attempt === attempts) throw new CountersignError(changed.code, changed.detail);
      await this.#follow();
    }
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await clock.sleep(turnMs, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      await this.keep().catch((thrown: unknown) => {
        log.error({ error: messageOf(thrown) }, 'keys for JWT-SVIDs not kept');
      });
    }
  }

  /** What other processes published. */
  async #follow(): Promise<void> {
    const found = await this.#options.ledger.document(documentName);
    if (found === undefined || found.version <= this.#version) return;
    this.#adopt(found.version, parsePublishedKeys(found.body));
  }

  #adopt(version: number, keys: readonly PublishedKey[]): void {
    this.#version = version;
    this.#published = keys;
    this.#publicKeys = keys.map(({ jwk }) => jwk);
    this.#changes.notify();
  }

  async #read(): Promise<void> {
    const { file, store } = this.#options;
    const text = file === undefined ? undefined : await textOf(file);
    if (file === undefined || text === undefined) return;
    for (const kept of parseKept(text, file)) {
      const signer = await store.open(parseKeyDescription(kept.description, file));
      this.#own = [...this.#own, { kid: kept.kid, activeAt: kept.activeAt, signer }];
      this.#kept = [...this.#kept, kept];
    }
    await this.#follow();
    // What the ledger does not have (any more) is nobody's to verify by.
    const kids = new Set(this.#published.map(({ jwk }) => jwk.kid));
    this.#own = this.#own.filter((key) => kids.has(key.kid));
  }

  async #write(kept: readonly KeptKey[]): Promise<void> {
    const { file } = this.#options;
    this.#kept = kept;
    if (file === undefined) return;
    await writeFileDurably(file, `${JSON.stringify({ keys: kept }, null, 2)}\n`, { mode: 0o600 });
  }
}

/**
 * That a file holds keys for JWT-SVIDs, each under its own name, as far as it can be told without opening one. None is
 * right: the next start makes them.
 *
 * @throws CountersignError ERR_STATE_BROKEN, ERR_KEY_FILE
 */
export async function proveJwtKeysFile(file: string): Promise<void> {
  const text = await textOf(file);
  for (const { kid, description } of text === undefined ? [] : parseKept(text, file)) {
    const { publicKey } = parseKeyDescription(description, file);
    const found = Buffer.from(publicKey, 'hex').toString('base64url').slice(0, kidLength);
    if (found === kid) continue;
    const message = `"${file}" has a key for JWT-SVIDs as "${kid}", its public key is "${found}"`;
    throw new CountersignError('ERR_STATE_BROKEN', message, { fields: { file, kid, found } });
  }
}

/** RFC 7638 would do as well; what matters is that no two keys have the same. */
function kidOf({ spki }: Signer): string {
  return hash('sha256', spki.raw, 'base64url').slice(0, kidLength);
}

function jwkOf({ spki }: Signer): PublicJwk {
  const key = createPublicKey({ key: Buffer.from(spki.raw), format: 'der', type: 'spki' });
  return key.export({ format: 'jwk' }) as PublicJwk;
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    const message = `read the keys for JWT-SVIDs "${file}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_KEY_FILE', message, { cause: thrown });
  }
}

function parseKept(text: string, file: string): readonly KeptKey[] {
  try {
    const { keys } = JSON.parse(text) as { keys: readonly KeptKey[] };
    const isRight = keys.every(
      ({ kid, activeAt, description }) =>
        typeof kid === 'string' && typeof activeAt === 'number' && typeof description === 'string',
    );
    if (isRight) return [...keys].sort((a, b) => a.activeAt - b.activeAt);
  } catch {
    // Told below, without a word of its content.
  }
  throw new CountersignError('ERR_STATE_BROKEN', `"${file}" does not hold keys for JWT-SVIDs`);
}
