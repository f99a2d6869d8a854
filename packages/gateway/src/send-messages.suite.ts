import type { Socket } from 'node:net';
import type { AmbiguousMessage } from './smuggling-corpus.suite.ts';

/** Each on a connection of its own; what was answered, by name. */
export async function sendAll(
  messages: readonly AmbiguousMessage[],
  connect: () => Socket,
): Promise<Map<string, string>> {
  const answers = new Map<string, string>();
  const waiting = [...messages];
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      answers.set(next.name, await send(connect(), next.text));
    }
  };
  await Promise.all(Array.from({ length: 32 }, lane));
  return answers;
}

/** Until it is closed, or nothing has come for a while: what is left open waits for more. */
async function send(socket: Socket, text: string): Promise<string> {
  let received = '';
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  socket.write(text, 'latin1');
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    socket.setTimeout(400, () => socket.destroy());
  });
  return received;
}
