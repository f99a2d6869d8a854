import type { CodeFamily } from '../code-row.ts';

export const cliCodes = {
  ERR_CLI_NODE_VERSION: {
    meaning: 'The Node that was started is too old, and the repository did not bring its own.',
    hint: 'run `npm install` in the repository, which brings its own Node, or use Node 24 or later',
    exit: 2,
  },
  ERR_CLI_CODE_UNKNOWN: {
    meaning: 'The code to explain is not in the table.',
    hint: 'run `countersign explain` for the list',
    exit: 2,
  },
  ERR_CLI_BATCH: {
    meaning: 'A file of orders cannot be read; nothing was ordered.',
    hint: 'one JSON object a line: {"name": "payments-1", "spiffeId": "spiffe://…", "dns": ["…"], "ttl": "1h"}',
    exit: 2,
  },
  ERR_EXEC_PROGRAM: {
    meaning: 'The program that was to be run could not be started.',
    hint: 'write it after --, as a path or as a name that PATH finds: countersign exec … -- PROGRAM',
    exit: 2,
  },
  ERR_EXEC_DIRECTORY: {
    meaning: 'There is no place for a directory that this user alone can read.',
    hint: 'name one with --directory, best in memory such as under /run',
    exit: 2,
  },
  ERR_EXEC_AGENT: {
    meaning: 'Nobody answers at the socket of the agent.',
    hint: 'start `countersign agent`, and give the path that it says after ready',
    exit: 3,
  },
  ERR_CLI_INPUT_KIND: {
    meaning: 'An input holds nothing of the kind that the command needs.',
    hint: '`countersign inspect FILE` says what a file holds; PEM, DER and SPIFFE bundle documents are read',
    exit: 2,
  },
  ERR_CLI_INPUT_TOO_LARGE: {
    meaning: 'An input is larger than the command reads.',
    hint: 'give the certificates alone, or split the input',
    exit: 2,
  },
  ERR_CLI_OUTPUT: {
    meaning: 'The answer could not be written to standard output. What was done is done.',
    hint: 'make room where standard output goes; a reading command can be run again',
    exit: 2,
  },
  ERR_CLI_TIME: {
    meaning: 'A time is not written as RFC 3339 has it.',
    hint: 'write it with its offset, such as 2026-01-31T12:00:00Z or 2026-01-31T14:00:00+02:00',
    exit: 2,
  },
  ERR_CLI_NAME: {
    meaning: 'An expected name does not say its kind, or its value cannot be of that kind.',
    hint: 'write dns:payments.example, ip:10.0.0.1, email:a@example.com or spiffe://example.com/payments',
    exit: 2,
  },
  ERR_CLI_REQUEST: {
    meaning:
      'A line of `verify --batch` is no request: no JSON, an unknown key, or a value of the wrong kind.',
    hint: 'one JSON object a line: {id, chain, untrusted, anchors, crls, at, purpose, names, maxDepth, policy}',
    exit: 2,
  },
  ERR_CLI_UNREACHABLE: {
    meaning: 'A TLS address could not be reached, or it closed before it presented a certificate.',
    hint: 'check the host and port, and that the other side speaks TLS there',
    exit: 3,
  },
  ERR_CLI_ADMIN: {
    meaning: 'The admin pages of a gateway, sidecar or tunnel could not be asked, or refused.',
    hint: 'see that it runs with `admin` in its file, --admin-port or --status, and name the address that `ready` told',
    exit: 3,
  },
  ERR_CLI_CONFIG_KIND: {
    meaning: 'A configuration file is of no kind that countersign knows.',
    hint: 'an authority has "ca:", a gateway has "routes:", a policy has "kind: AuthorizationPolicy"',
    exit: 2,
  },
  ERR_CLI_DEMO_STEP: {
    meaning: 'A step of the demo did not happen as it should.',
    hint: 'read the log that the message names, or remove .countersign and run it again',
    exit: 1,
  },
  ERR_CLI_SCAN_ARCHIVE: {
    meaning:
      'An archive that `scan` looks into is cut short, damaged, or of a form that it does not read.',
    hint: 'make the archive again, or unpack it and scan the directory',
    exit: 3,
  },
  ERR_CLI_SCAN_LIMIT: {
    meaning: 'The scan came to one of its limits, so that what lies beyond was not looked at.',
    hint: 'scan the parts on their own: unpack the archive, or name its directories one by one',
    exit: 3,
  },
  ERR_CLI_SCAN_GIT: {
    meaning:
      'What git tracks in a repository could not be read, so that keys in it may be findings.',
    hint: 'run `git -C REPOSITORY ls-files`, which reads the same index, and see what it says',
    exit: 3,
  },
} as const satisfies CodeFamily;
