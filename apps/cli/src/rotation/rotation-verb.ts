import { CountersignError, errorOfDenial } from '@countersign/base';
import { adminClient, showStateRotation, stateLayout, takeRotationStep } from '@countersign/ca';
import type { RotationRequest, RotationResponse, RotationStep } from '@countersign/wire';
import { type Command, Option } from 'commander';
import type { Cli } from '../cli.ts';
import { listOption } from '../list-option.ts';
import { outputOption } from '../output-option.ts';
import { createLog } from '../serve/pino-log.ts';
import { asOperator, readStateConfig } from '../state/open-state.ts';
import { secretPlaces } from '../state/secret-places.ts';
import { addStateOptions, type StateOptions } from '../state/state-options.ts';
import { takingPart, whoOption } from '../state/who-option.ts';
import type { Verb } from '../verb.ts';
import { carriedText, readCarried, tidyRequests, writeRequests } from './carried-files.ts';
import { rotationText } from './rotation-text.ts';

interface RotationOptions extends StateOptions {
  readonly intermediate?: string;
  readonly threshold?: number;
  readonly force?: true;
  readonly drop?: true;
  readonly by?: readonly string[];
  readonly import?: readonly string[];
  readonly out?: string;
  readonly output: string;
}

/** What a step takes beside the state, and its help. */
interface StepWords {
  readonly takesThreshold?: true;
  readonly takesCarried?: true;
  readonly force?: string;
  readonly drop?: string;
  readonly help: string;
}

/** `countersign root STEP`: one step of replacing the key of the root, or of an intermediate. */
export function rotationVerb(step: RotationStep, words: StepWords): Verb {
  return {
    define(command: Command, cli: Cli) {
      addStateOptions(command).option(
        '--intermediate <name>',
        'this intermediate of ca.yaml, instead of the root',
      );
      if (words.takesThreshold === true) {
        command.addOption(
          new Option(
            '--threshold <percent>',
            'of the holders of the trust bundle, that must hold the new root; 100 unless given',
          ).argParser(percentOf),
        );
      }
      if (words.force !== undefined) command.option('--force', words.force);
      if (words.drop !== undefined) command.option('--drop', words.drop);
      if (words.takesCarried === true) {
        command
          .addOption(
            listOption('--import <file>', 'what was carried here from an offline root; repeatable'),
          )
          .option(
            '--out <dir>',
            'where to write requests for an offline root; requests in the data directory unless given',
          );
      }
      if (step !== 'show') command.addOption(whoOption());
      command
        .addOption(outputOption())
        .addHelpText('after', words.help)
        .action((options: RotationOptions) => take(cli, step, options));
    },
  };
}

async function take(cli: Cli, step: RotationStep, options: RotationOptions): Promise<void> {
  const { intermediate: authority = 'root', threshold, force, drop, by } = options;
  const carried = await readCarried(cli, options.import ?? []);
  const { requests: directory } = stateLayout(options.data);
  const out = options.out ?? directory;
  const who = takingPart(by);
  const request: RotationRequest = {
    ...{ step, authority },
    ...(threshold === undefined ? {} : { threshold }),
    ...(force === undefined ? {} : { force }),
    ...(drop === undefined ? {} : { drop }),
    ...(step === 'show' ? {} : { by: `operator ${who.join(', ')}`.slice(0, 256) }),
    ...(carried.length > 0 && { carried }),
  };
  const answer =
    step === 'show'
      ? await show(cli, options, request)
      : await asOperator(cli, options, {
          server: (client) => client.rotate(request),
          async state(opened): Promise<RotationResponse> {
            const taken = await takeRotationStep(opened.rotation, request);
            if (!taken.ok) throw errorOfDenial(taken, `root ${step}`);
            const { ok: _, ...response } = taken;
            return response;
          },
        });
  const { waiting } = answer;
  if (step !== 'show' && waiting !== undefined) await tidyRequests(waiting, directory);
  if (step === 'prepare') await writeRequests(answer.requests ?? [], out);
  for (const { file, serial, why } of answer.passedOver ?? []) {
    cli.err(`note: "${file}", serial ${serial}, is passed over: ${why}\n`);
  }
  if (options.output === 'json') return await cli.out(`${JSON.stringify(answer, null, 2)}\n`);
  await cli.out(rotationText(cli, step, answer));
  if (step === 'prepare') await cli.out(carriedText(cli, answer, { out, who }));
}

/** No key is read, so what opens them is not asked for. */
async function show(
  cli: Cli,
  options: RotationOptions,
  request: RotationRequest,
): Promise<RotationResponse> {
  if ((options.passphrase ?? options.keyFile) !== undefined) {
    cli.err('note: no key is opened to show how they stand\n');
  }
  const { data } = options;
  const client = await adminClient(data);
  if (client !== undefined) return client.rotate(request);
  return showStateRotation(request.authority, {
    ...{ config: await readStateConfig(cli, options), data },
    ...{ secrets: secretPlaces(cli), clock: cli.clock, log: createLog(cli, 'warn') },
  });
}

function percentOf(text: string): number {
  const percent = /^\d{1,3}(\.\d{1,3})?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (percent >= 0 && percent <= 100) return percent / 100;
  throw new CountersignError('ERR_USAGE', `--threshold "${text}" is no percentage from 0 to 100`, {
    hint: 'give it as --threshold 95',
  });
}
