import type { ConfigPath } from '@countersign/config';
import type { Report } from '../ca-config-checks.ts';
import { quotedList } from '../dns-name.ts';
import { matchesSpiffe, type NamePattern, parseNamePattern } from './name-pattern.ts';
import { globMatches } from './text-glob.ts';

/** Who asks for a certificate. */
export interface Requester {
  /** Who vouched first: of a renewal, that of the first certificate. */
  readonly provisioner: string;
  /**
   * The caller's SPIFFE ID; `token` of whoever comes with a join token; `operator` of whoever holds the state; who it is
   * at a door, such as `vault:approle/web`.
   */
  readonly caller: string;
}

/** Whom an entry of `policy.rules` or of a profile's `for` is about; what is undefined is anybody. */
export interface Who {
  readonly provisioners: readonly string[] | undefined;
  readonly callers: readonly CallerPattern[] | undefined;
}

export interface CallerPattern {
  readonly written: string;
  readonly spiffe: NamePattern | undefined;
}

/** One clause of an entry with its answer, for people who ask why. */
export interface ClauseAnswer {
  readonly clause: 'provisioners' | 'callers' | 'names' | 'when' | 'allow' | 'deny';
  readonly ok: boolean;
  /** Both sides. */
  readonly detail: string;
}

export function isAbout(who: Who, requester: Requester): boolean {
  return (
    (who.provisioners?.includes(requester.provisioner) ?? true) &&
    (who.callers?.some((pattern) => isCaller(pattern, requester.caller)) ?? true)
  );
}

export function explainWho(who: Who, { provisioner, caller }: Requester): ClauseAnswer[] {
  const answers: ClauseAnswer[] = [];
  const { provisioners, callers } = who;
  if (provisioners !== undefined) {
    const ok = provisioners.includes(provisioner);
    answers.push({
      clause: 'provisioners',
      ok,
      detail: sides('the provisioner', provisioner, provisioners),
    });
  }
  if (callers !== undefined) {
    const ok = callers.some((pattern) => isCaller(pattern, caller));
    const written = callers.map((pattern) => pattern.written);
    answers.push({ clause: 'callers', ok, detail: sides('the caller', caller, written) });
  }
  return answers;
}

/** A door, and who it is there; `*` stands for anything. */
const atDoor = /^[a-z][a-z0-9-]{1,31}:(?!\/\/)[^\s]{1,200}$/;

/** Whether it is who somebody is at a door (`vault:approle/web`). */
export function isCallerAtDoor(caller: string): boolean {
  return atDoor.test(caller) && !caller.includes('*');
}

/** Callers that are no SPIFFE ID. */
const plainCallers: readonly string[] = ['operator', 'token'];

export function readWho(
  written: {
    readonly provisioners?: readonly string[] | null | undefined;
    readonly callers?: readonly string[] | null | undefined;
  },
  path: ConfigPath,
  { trustDomain, report }: { readonly trustDomain: string; readonly report: Report },
): Who {
  const callers = written.callers?.flatMap((text, index): CallerPattern[] => {
    if (text === '*' || plainCallers.includes(text)) return [{ written: text, spiffe: undefined }];
    const at = [...path, 'callers', index];
    if (atDoor.test(text)) return [{ written: text, spiffe: undefined }];
    if (!text.includes('://')) {
      const doors = 'who it is at a door ("vault:approle/*")';
      const forms = `expected ${quotedList(plainCallers)}, "*", a SPIFFE ID or ${doors}`;
      report(at, `${at.join('.')}: ${forms}, found "${text}"`);
      return [];
    }
    const read = parseNamePattern(text, trustDomain);
    if (read.ok) return [{ written: text, spiffe: read.pattern }];
    report(at, `${at.join('.')}: "${text}" ${read.wrong}`);
    return [];
  });
  return { provisioners: written.provisioners ?? undefined, callers };
}

function isCaller({ written, spiffe }: CallerPattern, caller: string): boolean {
  if (spiffe !== undefined) return matchesSpiffe(spiffe, caller);
  return atDoor.test(written)
    ? globMatches(written, caller)
    : written === '*' || written === caller;
}

function sides(what: string, found: string, wanted: readonly string[]): string {
  return `${what} is "${found}", ${quotedList(wanted)} ${wanted.length === 1 ? 'is' : 'are'} named`;
}
