import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { constants } from 'node:os';
import process from 'node:process';
import { CountersignError, type Log, messageOf, noMeter, type Secret } from '@countersign/base';
import {
  type Identity,
  type ProofKey,
  type RotatingIdentity,
  renewOverMtls,
  startRotation,
  writeIdentity,
} from '@countersign/identity';
import type { Cli } from '../cli.ts';
import { openIssuer, readIssuerFile } from '../issuers/open-issuer.ts';
import { obtainIdentity } from '../serve/obtain-identity.ts';
import { ExitWith } from '../verb.ts';
import { environmentOf, type Handover } from './handed-over.ts';
import { makePrivateDirectory } from './private-directory.ts';

/** What becomes of the program when its files have changed. */
export type OnRotation = 'nothing' | 'restart' | NodeJS.Signals;

export interface ExecOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly identity?: string;
  readonly token?: Secret<string>;
  readonly ca?: string;
  /** Signs enrolment and renewals. */
  readonly proofKey?: ProofKey;
  /** A file with an `issuer:` of somebody else's; `identity` is then where it is kept. */
  readonly issuer?: string;
  readonly handovers: readonly Handover[];
  readonly onRotation: OnRotation;
  /** Of a restart: from SIGTERM to SIGKILL. */
  readonly stopMs: number;
  /** Parent of the private directory. */
  readonly directory?: string;
}

/**
 * Runs a program with an identity that stays fresh, until the program ends.
 *
 * @returns its exit code; 128 and the signal's number where a signal ended it
 * @throws CountersignError ERR_EXEC_PROGRAM, ERR_EXEC_DIRECTORY, and what obtaining the identity throws
 */
export async function runWithIdentity(cli: Cli, log: Log, options: ExecOptions): Promise<number> {
  // 1. signals from now on are the program's
  const programs = new RunningProgram(cli, log, options);
  const unforward = forwardSignals(programs);
  // 2. the identity, and a place that nobody else can read
  const opened = await Promise.race([
    openOwn(cli, log, options),
    programs.ended.then((code) => Promise.reject(new ExitWith(code))),
  ]);
  const place = await makePrivateDirectory(cli, options.directory).catch(async (thrown) => {
    await opened.stop();
    throw thrown;
  });
  const files = place.path;
  const write = (fresh: Identity) => writeIdentity(files, fresh, { mode: 0o600 });
  try {
    const { identity } = opened;
    await write(identity);
    // 3. the program
    programs.start(environmentOf(identity, files, options.handovers));
    // 4. fresh files for it, and word of them
    opened.follow(async (fresh) => {
      await write(fresh);
      await programs.tell(environmentOf(fresh, files, options.handovers));
    });
    // 5. its end is ours
    return await programs.ended;
  } finally {
    unforward();
    await opened.stop();
    await place.remove();
  }
}

interface Opened {
  readonly identity: Identity;
  /** Tells of each identity after the one above, once. */
  follow(onSwap: (fresh: Identity) => Promise<void>): void;
  stop(): Promise<void>;
}

/** Of our authority, or of somebody else's. */
async function openOwn(cli: Cli, log: Log, options: ExecOptions): Promise<Opened> {
  const { clock } = cli;
  if (options.issuer !== undefined) return openForeign(cli, log, options.issuer, options.identity);
  const { proofKey } = options;
  const { identity, url } = await obtainIdentity({ ...options, who: 'exec' }, { clock, log });
  let live: RotatingIdentity | undefined;
  return {
    identity,
    follow(onSwap) {
      live = startRotation({
        identity,
        renew: renewOverMtls({ url, clock, ...(proofKey !== undefined && { proofKey }) }),
        ...(options.identity === undefined ? {} : { directory: options.identity }),
        ...{ onSwap, clock, log, meter: noMeter },
      });
    },
    stop: async () => await live?.stop(),
  };
}

async function openForeign(
  cli: Cli,
  log: Log,
  path: string,
  kept: string | undefined,
): Promise<Opened> {
  const { clock } = cli;
  const { issuer, directory } = await readIssuerFile(cli, path);
  let tell: ((fresh: Identity) => Promise<void>) | undefined;
  const { live, stop } = await openIssuer(issuer, {
    ...{ cli, directory, kept, clock, log, meter: noMeter },
    onSwap: async (fresh) => await tell?.(fresh),
  });
  const { identity } = live;
  return {
    identity,
    follow(onSwap) {
      tell = onSwap;
      // What came while the program was started.
      if (live.identity.svid === identity.svid) return;
      onSwap(live.identity).catch((thrown: unknown) => {
        log.error({ err: thrown }, `after the renewal: ${messageOf(thrown)}`);
      });
    },
    stop,
  };
}

/** The same with the agent of this machine: the program fetches its identity itself. */
export async function runWithAgent(
  cli: Cli,
  log: Log,
  options: Omit<ExecOptions, 'handovers'> & { readonly socket: string },
): Promise<number> {
  const programs = new RunningProgram(cli, log, options);
  const unforward = forwardSignals(programs);
  try {
    await expectSocket(options.socket);
    programs.start({ SPIFFE_ENDPOINT_SOCKET: `unix://${options.socket}` });
    return await programs.ended;
  } finally {
    unforward();
  }
}

class RunningProgram {
  readonly ended: Promise<number>;
  readonly #cli: Cli;
  readonly #log: Log;
  readonly #options: Pick<ExecOptions, 'program' | 'args' | 'onRotation' | 'stopMs'>;
  #child: ChildProcess | undefined;
  #isRestarting = false;
  #asked: NodeJS.Signals | undefined;
  #end!: (code: number) => void;
  #fail!: (reason: Error) => void;

  constructor(
    cli: Cli,
    log: Log,
    options: Pick<ExecOptions, 'program' | 'args' | 'onRotation' | 'stopMs'>,
  ) {
    this.#cli = cli;
    this.#log = log;
    this.#options = options;
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    // Whoever waits comes later.
    this.ended.catch(() => {});
  }

  start(environment: Readonly<Record<string, string>>): void {
    // What asked for the end before there was a program has its way.
    if (this.#asked !== undefined) {
      this.#end(codeOf(null, this.#asked));
      return;
    }
    const { program, args } = this.#options;
    const child = spawn(program, [...args], {
      stdio: 'inherit',
      env: { ...this.#cli.env, ...environment },
    });
    this.#child = child;
    child.once('error', (thrown: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return;
      const message = `run "${program}": ${thrown.code ?? thrown.message}`;
      this.#fail(new CountersignError('ERR_EXEC_PROGRAM', message, { cause: thrown }));
    });
    child.once('exit', (code, signal) => {
      if (this.#isRestarting) return;
      this.#child = undefined;
      this.#end(codeOf(code, signal));
    });
  }

  /** A signal that is meant for the program. */
  forward(signal: NodeJS.Signals): void {
    if (enders.has(signal)) this.#asked = signal;
    this.#child?.kill(signal);
    // Between the two of a restart.
    if (this.#child === undefined && enders.has(signal)) this.#end(codeOf(null, signal));
  }

  /** Its files have changed. */
  async tell(environment: Readonly<Record<string, string>>): Promise<void> {
    const { onRotation } = this.#options;
    if (onRotation === 'restart') return this.#restart(environment);
    if (onRotation !== 'nothing') this.#child?.kill(onRotation);
  }

  async #restart(environment: Readonly<Record<string, string>>): Promise<void> {
    const child = this.#child;
    if (child === undefined || this.#isRestarting || this.#asked !== undefined) return;
    this.#log.info({ pid: child.pid }, 'certificate renewed: the program is started anew');
    this.#isRestarting = true;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const isOver = new AbortController();
    void this.#cli.clock
      .sleep(this.#options.stopMs, { signal: isOver.signal })
      .then(() => child.kill('SIGKILL'))
      .catch(() => {});
    await gone;
    isOver.abort();
    this.#isRestarting = false;
    this.#child = undefined;
    this.start(environment);
  }
}

const enders: ReadonlySet<NodeJS.Signals> = new Set(['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP']);
const forwarded: readonly NodeJS.Signals[] = [
  ...enders,
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
  'SIGCONT',
];

/** @returns the function that ends it */
function forwardSignals(programs: RunningProgram): () => void {
  // On a terminal Ctrl-C reaches the program by itself, since it is of our process group.
  const byTerminal = process.stdin.isTTY === true ? ['SIGINT', 'SIGQUIT'] : [];
  const handlers = forwarded.map((signal) => {
    const handle = () => {
      if (!byTerminal.includes(signal)) programs.forward(signal);
    };
    process.on(signal, handle);
    return [signal, handle] as const;
  });
  return () => {
    for (const [signal, handle] of handlers) process.off(signal, handle);
  };
}

function codeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

/** @throws CountersignError ERR_EXEC_AGENT */
async function expectSocket(path: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      const probe = connect(path);
      probe.once('connect', () => {
        probe.destroy();
        resolve();
      });
      probe.once('error', reject);
    });
  } catch (thrown) {
    const message = `connect to the agent at "${path}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_EXEC_AGENT', message, { cause: thrown });
  }
}
