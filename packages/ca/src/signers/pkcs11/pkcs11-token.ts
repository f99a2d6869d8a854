import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  type Log,
  messageOf,
  type Secret,
} from '@countersign/base';
import { type Cryptoki, loadCryptoki } from './cryptoki.ts';
import { ckf, cku } from './cryptoki-constants.ts';
import { findToken, type TokenFound } from './find-token.ts';
import {
  acquireModule,
  hasOneUser,
  Pkcs11Failure,
  type Pkcs11Module,
  releaseModule,
} from './pkcs11-module.ts';
import { type Session, TokenConnection } from './token-connection.ts';

export interface Pkcs11TokenOptions {
  /** Path of the module, such as `/usr/lib/softhsm/libsofthsm2.so`. */
  readonly module: string;
  /** CKA label of the token, without the padding. */
  readonly label: string;
  /** Needed where several tokens have the label. */
  readonly serial?: string | undefined;
  /** Asked at each login: a PIN file that was put right is read again. */
  readonly pin: () => Promise<Secret<string>>;
  /** How many operations may be in the token at a time. Default 4, fewer where the token allows fewer. */
  readonly sessions?: number | undefined;
  /** How long a call may take, thirty times that where a key is made. Default 10 s. */
  readonly timeoutMs?: number | undefined;
  /** How the module is loaded. Default: through koffi. */
  readonly load?: ((path: string) => Promise<Cryptoki>) | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** A token that is away is not asked again before this. */
const pauseMs = 1000;

/**
 * A token that may go away and come back: connected when it is first needed, and anew whenever what it answers says
 * that sessions, login or token are lost. What was under way is tried once more, since nothing that we ask of a token
 * is harmed by being asked twice; then it fails, and its certificate is abandoned.
 */
export class Pkcs11Token {
  readonly title: string;
  readonly #options: Pkcs11TokenOptions;
  readonly #timeoutMs: number;
  #module: Pkcs11Module | undefined;
  #connection: Promise<TokenConnection> | undefined;
  #wasConnected = false;
  #away: { readonly untilMs: number; readonly thrown: unknown } | undefined;
  /** A PIN that the token refused: its tries are counted, so it is not told the same again. */
  #refusedPin: Secret<string> | undefined;
  #isClosed = false;

  constructor(options: Pkcs11TokenOptions) {
    this.title = `token "${options.label}"`;
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
  }

  /**
   * Does something in a session of the token, logged in.
   *
   * @param attempted for messages: `sign with key "root"`
   * @throws CountersignError ERR_SIGNER_TOKEN_*, ERR_SIGNER_MODULE, ERR_SIGNER_SECRET
   */
  use<T>(attempted: string, work: (session: Session, tools: TokenTools) => Promise<T>): Promise<T> {
    return this.#twice(attempted, (connection, tools) =>
      connection.borrow((session) => work(session, tools), {
        clock: this.#options.clock,
        timeoutMs: this.#timeoutMs,
      }),
    );
  }

  /** Makes or removes something in the token. Not tried again: a lost answer may have left a key there. */
  async write<T>(
    attempted: string,
    work: (session: Session, tools: TokenTools) => Promise<T>,
  ): Promise<T> {
    const connection = await this.#connected(attempted);
    try {
      return await connection.write((session) => work(session, this.#toolsOf(connection)));
    } catch (thrown) {
      if (endsConnection(thrown)) await this.#drop(connection);
      throw this.#explain(attempted, thrown);
    }
  }

  async health(): Promise<{ readonly ok: true; readonly detail: string } | Denial> {
    try {
      const token = await this.use('ask for a session', async (session, { module, token }) => {
        await module.call('C_GetSessionInfo', (memory) => {
          const { pointer } = memory.room(32);
          return { args: [session, pointer], read: () => {} };
        });
        return token;
      });
      const { manufacturer, model, serial } = token;
      return { ok: true, detail: `${this.title} of ${manufacturer} ${model}, serial ${serial}` };
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      return denial(thrown.code, thrown.message, thrown.fields);
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const connection = await this.#connection?.catch(() => undefined);
    await connection?.drop();
    if (this.#module !== undefined) await releaseModule(this.#module);
  }

  async #twice<T>(
    attempted: string,
    work: (connection: TokenConnection, tools: TokenTools) => Promise<T>,
  ): Promise<T> {
    for (let isLast = false; ; isLast = true) {
      const connection = await this.#connected(attempted);
      try {
        return await work(connection, this.#toolsOf(connection));
      } catch (thrown) {
        const isHidden = !isLast && isKeyMissing(thrown);
        if (!endsConnection(thrown) && !isHidden) throw this.#explain(attempted, thrown);
        await this.#drop(connection);
        if (isLast || isTimeout(thrown)) throw this.#explain(attempted, thrown);
        this.#options.log.warn(
          { token: this.#options.label, reason: messageOf(thrown) },
          'connection to the token lost, connecting again',
        );
      }
    }
  }

  #toolsOf(connection: TokenConnection): TokenTools {
    if (this.#module === undefined) throw new TypeError('a connection has a module');
    return { module: this.#module, token: connection.token, keys: connection.keys };
  }

  async #connected(attempted: string): Promise<TokenConnection> {
    const { clock } = this.#options;
    if (this.#isClosed) {
      const message = `${attempted} in ${this.title}: it was closed`;
      throw new CountersignError('ERR_SIGNER_TOKEN_LOST', message);
    }
    if (this.#away !== undefined && clock.monotonic() < this.#away.untilMs) {
      throw this.#explainAbsence(attempted, this.#away.thrown);
    }
    this.#connection ??= this.#connect();
    const connecting = this.#connection;
    try {
      return await connecting;
    } catch (thrown) {
      if (this.#connection === connecting) {
        this.#connection = undefined;
        this.#away = { untilMs: clock.monotonic() + pauseMs, thrown };
      }
      throw this.#explainAbsence(attempted, thrown);
    }
  }

  async #connect(): Promise<TokenConnection> {
    const { clock, module: path, load = loadCryptoki } = this.#options;
    this.#module ??= await acquireModule(path, { clock, timeoutMs: this.#timeoutMs, load });
    const module = this.#module;
    const { generation } = module;
    let connection: TokenConnection;
    try {
      connection = await this.#logIn(module);
    } catch (thrown) {
      const mayHelp = isMissing(thrown) || (endsConnection(thrown) && !isTimeout(thrown));
      if (!this.#wasConnected || !mayHelp || !hasOneUser(module)) throw thrown;
      await module.restart(generation);
      connection = await this.#logIn(module);
    }
    if (this.#wasConnected) {
      this.#options.log.info({ token: this.#options.label }, 'connected to the token again');
    }
    this.#wasConnected = true;
    this.#away = undefined;
    return connection;
  }

  async #logIn(module: Pkcs11Module): Promise<TokenConnection> {
    const { label, serial, sessions = 4, clock } = this.#options;
    const token = await findToken(module, { label, serial });
    this.#checkTries(token);
    const pin = await this.#options.pin();
    if (this.#refusedPin !== undefined && pin.reveal() === this.#refusedPin.reveal()) {
      throw this.#pinError('it refused the PIN before, which is still the same');
    }
    const connection = new TokenConnection(module, token, sessions);
    try {
      await connection.borrow((session) => this.#tellPin(module, session, pin), {
        clock,
        timeoutMs: this.#timeoutMs,
      });
    } catch (thrown) {
      await connection.drop();
      throw thrown;
    }
    this.#refusedPin = undefined;
    return connection;
  }

  async #tellPin(module: Pkcs11Module, session: Session, pin: Secret<string>): Promise<void> {
    try {
      await module.call('C_Login', (memory) => {
        const bytes = new TextEncoder().encode(pin.reveal());
        const { pointer } = memory.bytes(bytes);
        const args = [session, cku.user, pointer, BigInt(bytes.byteLength)];
        bytes.fill(0);
        return { args, read: () => {} };
      });
    } catch (thrown) {
      if (thrown instanceof Pkcs11Failure && thrown.group === 'pin') this.#refusedPin = pin;
      throw thrown;
    }
  }

  #checkTries({ flags }: TokenFound): void {
    if ((flags & ckf.userPinLocked) !== 0n) throw this.#pinError('its PIN is locked');
    if ((flags & ckf.userPinFinalTry) === 0n) return;
    throw this.#pinError('one try of the PIN is left, which is not spent by a program');
  }

  #pinError(reason: string): CountersignError {
    return new CountersignError('ERR_SIGNER_TOKEN_PIN', `log in to ${this.title}: ${reason}`, {
      fields: { token: this.#options.label },
    });
  }

  async #drop(connection: TokenConnection): Promise<void> {
    const current = await this.#connection?.catch(() => undefined);
    if (current === connection) this.#connection = undefined;
    await connection.drop();
  }

  /** Of a failure to connect. A token that was there before is lost, whatever it answers to a new connection. */
  #explainAbsence(attempted: string, thrown: unknown): CountersignError {
    const isAway = isMissing(thrown) || endsConnection(thrown);
    if (!this.#wasConnected || !isAway || isTimeout(thrown))
      return this.#explain(attempted, thrown);
    const message = `${attempted} in ${this.title}: it is away: ${messageOf(thrown)}`;
    const fields = { token: this.#options.label };
    return new CountersignError('ERR_SIGNER_TOKEN_LOST', message, { fields, cause: thrown });
  }

  #explain(attempted: string, thrown: unknown): CountersignError {
    if (thrown instanceof CountersignError) return thrown;
    const message = `${attempted} in ${this.title}: ${messageOf(thrown)}`;
    const group = thrown instanceof Pkcs11Failure ? thrown.group : 'failed';
    const fields = { token: this.#options.label };
    return new CountersignError(codeOfGroup[group], message, { fields, cause: thrown });
  }
}

/** What work in a token is done with. */
export interface TokenTools {
  readonly module: Pkcs11Module;
  readonly token: TokenFound;
  /** Handles of private keys by CKA_ID in hex, of this connection. */
  readonly keys: Map<string, bigint>;
}

const codeOfGroup = {
  ok: 'ERR_SIGNER_TOKEN_FAILED',
  lost: 'ERR_SIGNER_TOKEN_LOST',
  pin: 'ERR_SIGNER_TOKEN_PIN',
  request: 'ERR_SIGNER_TOKEN_FAILED',
  failed: 'ERR_SIGNER_TOKEN_FAILED',
  timeout: 'ERR_SIGNER_TOKEN_TIMEOUT',
} as const;

/** A `request` would be answered alike by any connection, and so would a wrong PIN. */
function endsConnection(thrown: unknown): boolean {
  return thrown instanceof Pkcs11Failure && ['lost', 'failed', 'timeout'].includes(thrown.group);
}

function isTimeout(thrown: unknown): boolean {
  return thrown instanceof Pkcs11Failure && thrown.group === 'timeout';
}

/** Where somebody else logged us out, private keys are not refused but not found. */
function isKeyMissing(thrown: unknown): boolean {
  return thrown instanceof CountersignError && thrown.code === 'ERR_SIGNER_KEY';
}

function isMissing(thrown: unknown): boolean {
  return thrown instanceof CountersignError && thrown.code === 'ERR_SIGNER_TOKEN_MISSING';
}
