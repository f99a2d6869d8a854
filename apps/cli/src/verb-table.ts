import type { Verb } from './verb.ts';

/** A row a verb, in the order of `countersign --help`. A verb's rooms are loaded only when it runs. */
export interface VerbRow {
  /** One or two words, as typed: `inspect`, `ca serve`. */
  readonly name: string;
  readonly summary: string;
  load(): Promise<Verb>;
}

export const verbTable: readonly VerbRow[] = [
  {
    name: 'inspect',
    summary: 'say what a certificate, chain, request, CRL, key or bundle holds',
    load: async () => (await import('./verbs/inspect.ts')).inspectVerb,
  },
  {
    name: 'verify',
    summary: 'judge a certificate chain, naming the first rule that fails',
    load: async () => (await import('./verbs/verify.ts')).verifyVerb,
  },
  {
    name: 'check',
    summary: 'read configuration files of any kind, and list every finding',
    load: async () => (await import('./verbs/check.ts')).checkVerb,
  },
  {
    name: 'explain',
    summary: 'say what an error code means and what to do next, offline',
    load: async () => (await import('./verbs/explain.ts')).explainVerb,
  },
  {
    name: 'completion',
    summary: 'print a completion script for bash, zsh or fish',
    load: async () => (await import('./verbs/completion.ts')).completionVerb,
  },
];

/** What the first words of the two-word verbs stand for, in the program's help. */
export const groupSummaries: Readonly<Record<string, string>> = {
  ca: 'the certificate authority',
  token: 'one-time tokens for enrolment',
};
