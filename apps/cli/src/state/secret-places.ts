import { CountersignError, Secret } from '@countersign/base';
import type { SecretPlaces } from '@countersign/ca';
import type { Cli } from '../cli.ts';

/** Where PINs and passphrases come from that ca.yaml points at: the environment, and whoever sits at the terminal. */
export function secretPlaces(cli: Cli): SecretPlaces {
  const terminal = terminalOf(cli);
  if (terminal === undefined) return { env: cli.env };
  return { env: cli.env, prompt: (question) => ask(cli, terminal, question) };
}

/** Standard input as a terminal gives it. */
interface Terminal {
  setRawMode(raw: boolean): void;
  on(event: 'data', listener: (chunk: Uint8Array) => void): void;
  off(event: 'data', listener: (chunk: Uint8Array) => void): void;
  pause(): void;
  resume(): void;
}

function terminalOf({ stdin, errIsTerminal }: Cli): Terminal | undefined {
  const candidate = stdin as Partial<Terminal> & { readonly isTTY?: boolean };
  if (!errIsTerminal || candidate.isTTY !== true) return undefined;
  return candidate.setRawMode === undefined ? undefined : (candidate as Terminal);
}

const interrupt = '\u0003';
const endings = new Set(['\r', '\n', '\u0004', interrupt]);
const erasing = new Set(['\u007f', '\b']);

/** The question goes to standard error; nothing that is typed is shown. */
async function ask(cli: Cli, terminal: Terminal, question: string): Promise<Secret<string>> {
  cli.err(`${question}: `);
  terminal.setRawMode(true);
  try {
    return new Secret(await readLine(terminal, question));
  } finally {
    terminal.setRawMode(false);
    terminal.pause();
    cli.err('\n');
  }
}

/** What is behind the end of the line is dropped. */
async function readLine(terminal: Terminal, question: string): Promise<string> {
  let typed = '';
  let onData: (chunk: Uint8Array) => void = () => {};
  const whole = new Promise<string>((resolve) => {
    onData = (chunk) => {
      typed += Buffer.from(chunk).toString('utf8');
      const end = [...typed].find((character) => endings.has(character));
      if (end !== undefined) resolve(typed.slice(0, typed.indexOf(end) + 1));
    };
  });
  terminal.on('data', onData);
  terminal.resume();
  try {
    const line = await whole;
    if (!line.endsWith(interrupt)) return withoutErased(line.slice(0, -1));
    throw new CountersignError('ERR_SIGNER_SECRET', `ask for the ${question}: interrupted`);
  } finally {
    terminal.off('data', onData);
  }
}

function withoutErased(line: string): string {
  const kept: string[] = [];
  for (const character of line) {
    if (erasing.has(character)) kept.pop();
    else kept.push(character);
  }
  return kept.join('');
}
