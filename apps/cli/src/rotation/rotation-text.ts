import { counted } from '@countersign/base';
import type { RotationHolder, RotationResponse, RotationStep } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { roughDuration } from '../relative-time.ts';
import { formatRfc3339 } from '../rfc3339.ts';

const mostShown = 20;

const doneWords: Readonly<Record<RotationStep, string>> = {
  show: '',
  prepare: 'prepared',
  activate: 'active: everything issued from now on leads to the new key',
  retire: 'retired: the old key is trusted no more',
  rollback: 'rolled back',
};

/** How the key of an authority stands, for people. */
export function rotationText(cli: Cli, step: RotationStep, answer: RotationResponse): string {
  const { bold, yellow, green } = cli.outStyle;
  const { authority, state, generations, sequence, anchors, uptake, living, next } = answer;
  const now = cli.clock.now();
  const lines: string[] = [];
  if (step !== 'show') {
    const isWaiting = step === 'prepare' && state === 'making';
    const words = isWaiting ? 'waits for what an offline root has to sign' : doneWords[step];
    const done = answer.done ? green(words) : 'was done before: nothing to do';
    lines.push(`${authority} ${done}`);
  }
  lines.push(`${bold(authority)}: ${state}`);
  for (const { name, phase, since, key, notAfter, fingerprint } of generations) {
    const facts = [
      ...(since === 0 ? [] : [`since ${formatRfc3339(since)}`]),
      ...(key === undefined ? [] : [key]),
      ...(notAfter === undefined ? [] : [`until ${formatRfc3339(notAfter)}`]),
    ];
    lines.push(`  ${name}: ${phase}${facts.length > 0 ? `, ${facts.join(', ')}` : ''}`);
    if (fingerprint !== undefined) lines.push(`    SHA-256 ${fingerprint}`);
  }
  if (authority === 'root') {
    lines.push(`trust bundle: sequence ${sequence}, ${counted(anchors.length, 'root')}`);
  }
  if (uptake !== undefined) {
    const { holders, holding, lacking } = uptake;
    const share = holders === 0 ? 100 : Math.floor((100 * holding) / holders);
    lines.push(`held by ${holding} of ${holders} (${share} %)`);
    lines.push(...holderLines(lacking, holders - holding, now).map((line) => yellow(line)));
  }
  if (living !== undefined && living.count > 0) {
    const until = formatRfc3339(living.until);
    const tokens = living.holders.filter(({ kind }) => kind === 'token').length;
    const pins = tokens === 0 ? '' : ` and ${counted(tokens, 'join token')}`;
    const what = `${counted(living.count - tokens, 'certificate')}${pins}`;
    const lead = living.count === 1 ? 'leads' : 'lead';
    lines.push(`${what} in use ${lead} to the key that goes, until ${until}`);
    lines.push(...holderLines(living.holders, living.count, now));
  }
  lines.push(`next: ${next}`);
  return `${lines.join('\n')}\n`;
}

const untilWords: Readonly<Record<RotationHolder['kind'], string>> = {
  workload: 'certificate',
  gateway: 'lease',
  token: 'redeemable',
};

function holderLines(holders: readonly RotationHolder[], total: number, now: number): string[] {
  const shown = holders
    .slice(0, mostShown)
    .map(({ kind, name, serial, instance, lastSeen, until }) => {
      const which = instance ?? serial;
      const ago = `${roughDuration(now - lastSeen)} ago`;
      const seen = kind === 'token' ? `made ${ago}` : `last seen ${ago}`;
      const what = untilWords[kind];
      return `  ${kind} ${name}${which === undefined ? '' : ` (${which})`}, ${seen}, ${what} until ${formatRfc3339(until)}`;
    });
  return total > shown.length ? [...shown, `  and ${total - shown.length} more`] : shown;
}
