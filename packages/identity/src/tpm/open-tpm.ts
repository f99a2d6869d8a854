import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { CountersignError, messageOf } from '@countersign/base';
import { TpmCommands, type TpmExchange } from '@countersign/x509';

/** The kernel's resource manager: it gives each process handles of its own. */
export const usualTpm = '/dev/tpmrm0';

export interface OpenTpm {
  readonly commands: TpmCommands;
  close(): Promise<void>;
}

const mostAnswerBytes = 4096;
/** Tag, size and response code. */
const leastAnswerBytes = 10;
/** A key of RSA may take a slow chip half a minute. */
const answerMs = 90_000;

/**
 * The commands of the TPM at a path: a character device, or a Unix socket that takes commands as it does (swtpm). One at a
 * time.
 *
 * @throws CountersignError ERR_TPM_DEVICE where there is neither, and at each command that gets no answer
 */
export async function openTpm(path: string = usualTpm): Promise<OpenTpm> {
  const found = await stat(path).catch((thrown: unknown) => {
    throw deviceError(path, messageOf(thrown), thrown);
  });
  if (found.isSocket()) {
    const commands = new TpmCommands(oneByOne((command) => overSocket(path, command)));
    return { commands, close: async () => {} };
  }
  if (!found.isCharacterDevice()) {
    throw deviceError(path, 'it is neither a character device nor a socket');
  }
  // Transient objects of the resource manager go with the descriptor: one for all commands.
  const handle = await open(path, constants.O_RDWR).catch((thrown: unknown) => {
    throw deviceError(path, messageOf(thrown), thrown);
  });
  const commands = new TpmCommands(
    oneByOne(async (command) => {
      try {
        await handle.write(command);
        const answer = new Uint8Array(mostAnswerBytes);
        const { bytesRead } = await handle.read(answer, 0, mostAnswerBytes);
        if (bytesRead >= leastAnswerBytes) return answer.subarray(0, bytesRead);
        const sides = `${bytesRead} octets came as its answer, a TPM's has at least ${leastAnswerBytes}`;
        throw deviceError(path, sides);
      } catch (thrown) {
        if (thrown instanceof CountersignError) throw thrown;
        throw deviceError(path, messageOf(thrown), thrown);
      }
    }),
  );
  return { commands, close: () => handle.close() };
}

function oneByOne(exchange: TpmExchange): TpmExchange {
  let last: Promise<unknown> = Promise.resolve();
  return (command) => {
    const next = last.then(() => exchange(command));
    last = next.catch(() => {});
    return next;
  };
}

async function overSocket(path: string, command: Uint8Array): Promise<Uint8Array> {
  const socket = connect(path);
  socket.setTimeout(answerMs, () => socket.destroy(new Error(`no answer in ${answerMs} ms`)));
  socket.write(command);
  let answer = Buffer.alloc(0);
  try {
    for await (const part of socket) {
      answer = Buffer.concat([answer, part as Buffer]);
      if (answer.byteLength > mostAnswerBytes) break;
      if (answer.byteLength >= leastAnswerBytes && answer.byteLength >= answer.readUInt32BE(2))
        return answer;
    }
  } catch (thrown) {
    throw deviceError(path, messageOf(thrown), thrown);
  } finally {
    socket.destroy();
  }
  throw deviceError(path, `${answer.byteLength} octets of an answer came, and no whole one`);
}

function deviceError(path: string, why: string, cause?: unknown): CountersignError {
  const options = { fields: { path }, ...(cause !== undefined && { cause }) };
  return new CountersignError('ERR_TPM_DEVICE', `use the TPM at "${path}": ${why}`, options);
}
