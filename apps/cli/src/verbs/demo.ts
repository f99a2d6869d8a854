import process from 'node:process';
import { CountersignError } from '@countersign/base';
import type { Cli } from '../cli.ts';
import { Children } from '../demo/children.ts';
import { commandsToTry } from '../demo/commands-to-try.ts';
import { takeDemoDirectory } from '../demo/demo-directory.ts';
import { logFile } from '../demo/demo-files.ts';
import { Narrator } from '../demo/narrator.ts';
import { tellStory } from '../demo/story.ts';
import { ExitWith, type Verb } from '../verb.ts';

/** `countersign demo`, which `npm start` runs. */
export const demoVerb: Verb = {
  define(command, cli) {
    command
      .option('--once', 'tell the story, then end: 0 when every step happened')
      .addHelpText('after', help)
      .action((options: { once?: true }) => runDemo(cli, options.once === true));
  },
};

const help = `
Keeps its files under .countersign/ of the current directory, and takes free ports.

Example:
  countersign demo --once`;

async function runDemo(cli: Cli, once: boolean): Promise<void> {
  const directory = await takeDemoDirectory(process.cwd());
  const children = new Children(process.cwd(), (name) => logFile(directory, name));
  const stopped = stopRequest(children);
  try {
    const narrator = new Narrator(cli);
    await narrator.title();
    const told = await Promise.race([tellStory(cli, directory, children, narrator), stopped]);
    if (told === undefined && once) throw new ExitWith(1);
    if (told === undefined || once) return;
    await narrator.text(commandsToTry(cli.outStyle, directory, told));
    await stopped;
  } finally {
    await children.end();
    await directory.release();
  }
}

/**
 * Resolves when somebody wants the demo to end: Ctrl-C, SIGTERM, or the end of whoever started us over a channel.
 * Rejects when a process of the demo ends by itself.
 */
function stopRequest(children: Children): Promise<undefined> {
  const stopped = new Promise<undefined>((resolve, reject) => {
    const stop = () => resolve(undefined);
    process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop).on('disconnect', stop);
    children.onLost = (name, log) =>
      reject(
        new CountersignError('ERR_CLI_DEMO_STEP', `demo: the process of ${name} ended by itself`, {
          hint: `read ${log}`,
        }),
      );
  });
  stopped.catch(() => {});
  return stopped;
}
