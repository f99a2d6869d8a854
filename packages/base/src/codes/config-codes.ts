import type { CodeFamily } from '../code-row.ts';

export const configCodes = {
  ERR_CONFIG_SYNTAX: {
    meaning: 'A configuration file is not well-formed YAML.',
    hint: 'mend the line that the message names; `countersign check FILE` reads it again',
    exit: 2,
  },
  ERR_CONFIG_UNKNOWN_KEY: {
    meaning: 'A configuration file has a key that nothing reads, most often a misspelt one.',
    hint: 'use the nearest valid key that the message names, or remove the line',
    exit: 2,
  },
  ERR_CONFIG_VALUE: {
    meaning: 'A configuration file has a value of the wrong kind or outside its range.',
    hint: 'the message names what is expected there; `countersign check FILE` reads it again',
    exit: 2,
  },
  ERR_CONFIG_UNSUPPORTED: {
    meaning: 'A configuration file asks for something that this version does not do.',
    hint: 'remove it, or say it with what is supported; nothing is ever silently ignored',
    exit: 2,
  },
} as const satisfies CodeFamily;
