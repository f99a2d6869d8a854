import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { codeTable } from '@countersign/base';
import { systemCli } from '../src/cli.ts';
import { fullProgram } from '../src/program.ts';
import { verbTable } from '../src/verb-table.ts';
import { authorityYaml } from './authority-files.ts';
import { bin, countersign as startCommand, temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

test('an unknown command is refused with the nearest word, a hint and the code', async () => {
  const ran = await startCommand(['explian']);
  assert.equal(ran.code, 2);
  assert.equal(ran.stdout, '');
  assert.deepEqual(ran.stderr.trimEnd().split('\n'), [
    'countersign: unknown command "explian", nearest is "explain"',
    'hint: run `countersign --help`',
    'ERR_USAGE',
  ]);
});

test('an unknown option is refused with the nearest word, as JSON where JSON was asked for', async () => {
  const ran = await countersign(['verify', '--nmae', 'dns:a.example', '-o', 'json', 'x.pem']);
  assert.equal(ran.code, 2);
  assert.equal(ran.stdout, '');
  assert.deepEqual(JSON.parse(ran.stderr), {
    error: {
      code: 'ERR_USAGE',
      message: 'countersign verify: unknown option "--nmae", nearest is "--name"',
      hint: 'run `countersign verify --help`',
      exit: 2,
    },
  });
});

test('a duration that cannot be used is refused by the name of its option, with both sides', async () => {
  const revoke = ['revoke', '--data', 'nowhere', '--serial', '01'];
  const cases = [
    [['--wait', '-5s'], '--wait: duration "-5s" is not written as 90s, 15m, 24h or 1h30m'],
    [['--wait', '1.5ms'], '--wait: "1.5ms" is finer than a millisecond'],
    [['--wait', '5m'], '--wait: "5m" is longer than "1m"'],
  ] as const;
  const ran = await Promise.all(cases.map(([words]) => countersign([...revoke, ...words])));
  assert.deepEqual(
    ran.map(({ code, stderr }) => [code, stderr.split('\n')[0]]),
    cases.map(([, message]) => [2, message]),
  );
  for (const verb of [
    ['renew', '--identity', 'nowhere'],
    ['token', 'create', '--data', 'nowhere'],
  ]) {
    const none = await countersign([...verb, '--ttl', '0s']);
    assert.equal(none.code, 2);
    assert.equal(none.stderr.split('\n')[0], '--ttl: "0s" is shorter than "1s"');
  }
});

test('a file without end is given up at the limit', {
  skip: existsSync('/dev/zero') ? false : 'no /dev/zero',
}, async () => {
  const ran = await countersign(['inspect', '/dev/zero']);
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /ERR_CLI_INPUT_TOO_LARGE/);
});

test('a passphrase on the command line is told where others read it', async (t) => {
  const home = await temporaryDirectory(t);
  await writeFile(join(home, 'ca.yaml'), authorityYaml());
  await writeFile(join(home, 'secret'), 'correct horse\n');
  const init = (data: string, passphrase: string) =>
    startCommand(['init', '--config', 'ca.yaml', '--data', data, '--passphrase', passphrase], {
      cwd: home,
    });
  const [open, quiet] = await Promise.all([init('one', 'correct horse'), init('two', '@secret')]);
  assert.deepEqual([open.code, quiet.code], [0, 0]);
  assert.match(open.stderr, /^note: --passphrase stands on the command line/);
  assert.ok(!open.stderr.includes('correct horse'));
  assert.equal(quiet.stderr, '');
});

test('--version prints the version, and no words at all print the help with exit code 2', async () => {
  const [version, bare] = await Promise.all([startCommand(['--version']), startCommand([])]);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^countersign \d+\.\d+\.\d+\n$/);
  assert.equal(bare.code, 2);
  assert.equal(bare.stdout, '');
  for (const row of verbTable) {
    assert.ok(bare.stderr.includes(row.name.split(' ')[0]!), `help does not name "${row.name}"`);
  }
});

test('the help of every verb has a summary, documented options and an example', async () => {
  const program = await fullProgram(systemCli());
  for (const row of verbTable) {
    const command = row.name
      .split(' ')
      .reduce((at, word) => at.commands.find((sub) => sub.name() === word)!, program);
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) });
    command.outputHelp();
    assert.match(help, /\nExample:\n {2}.*countersign /, `${row.name} has no example`);
    assert.ok(help.includes(row.summary.split(' ')[0]!), `${row.name} has no summary`);
    for (const option of command.options) {
      assert.ok(option.description !== '', `${row.name} ${option.flags} is not described`);
    }
  }
});

test('explain says what a code means, offline, and its JSON is the row of the table', async () => {
  const [text, json, list] = await Promise.all([
    countersign(['explain', 'err_duration']),
    countersign(['explain', 'ERR_DURATION', '-o', 'json']),
    countersign(['explain', '-o', 'json']),
  ]);
  assert.equal(text.code, 0);
  assert.ok(text.stdout.includes(codeTable.ERR_DURATION.meaning));
  assert.ok(text.stdout.includes(`hint: ${codeTable.ERR_DURATION.hint}`));
  assert.deepEqual(JSON.parse(json.stdout), {
    code: 'ERR_DURATION',
    family: 'base',
    ...codeTable.ERR_DURATION,
  });
  assert.deepEqual(
    JSON.parse(list.stdout).map((row: { code: string }) => row.code),
    Object.keys(codeTable),
  );
});

test('explain of a code that does not exist names the nearest one', async () => {
  const ran = await countersign(['explain', 'ERR_DURATOIN']);
  assert.equal(ran.code, 2);
  assert.match(
    ran.stderr,
    /nearest is "ERR_DURATION"\nhint: .*explain ERR_DURATION`\nERR_CLI_CODE_UNKNOWN\n$/,
  );
});

test('completion of bash knows the verbs and the options of a verb', async () => {
  const { stdout, code } = await countersign(['completion', 'bash']);
  assert.equal(code, 0);
  const complete = async (words: string) => {
    const typed = `COMP_WORDS=(countersign ${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))`;
    const script = `${stdout}\n${typed}; _countersign; echo "\${COMPREPLY[*]}"`;
    return (await promisify(execFile)('bash', ['-c', script])).stdout.trim();
  };
  assert.equal(await complete('expl'), 'explain');
  assert.equal(await complete('verify --ba'), '--batch');
  assert.equal(await complete('verify --bun'), '--bundle');
  assert.equal(await complete('revoke --reason keyC'), 'keyCompromise');
  assert.equal(await complete('ca status -d x --output js'), 'json');
});

/** A Node that is too old to run the program itself, as many machines have it. */
const oldNode = (process.env.PATH ?? '')
  .split(delimiter)
  .map((directory) => join(directory, 'node'))
  .find((path) => existsSync(path) && majorOf(path) < 24);

test('started by an old Node, the command runs on the one that the repository brings', {
  skip: oldNode === undefined ? 'no Node before 24 is on the PATH' : false,
}, async () => {
  const run = promisify(execFile);
  const version = await run(oldNode!, [bin, '--version']);
  assert.match(version.stdout, /^countersign /);
  await assert.rejects(run(oldNode!, [bin, 'explain', 'NOTHING']), { code: 2 });
  const child = execFile(oldNode!, [bin, 'verify', '--batch']);
  child.stdin?.write('{}\n');
  await new Promise((answered) => child.stdout?.once('data', answered));
  child.kill('SIGTERM');
  assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 143);
});

function majorOf(node: string): number {
  return Number(execFileSync(node, ['--version'], { encoding: 'utf8' }).slice(1).split('.')[0]);
}

test('est password prints one that it makes, and writes its hash alone', async (t) => {
  const out = join(await temporaryDirectory(t), 'line-3.scrypt');
  const made = await countersign(['est', 'password', '--out', out]);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /^[\w-]{32}\n$/);
  const hash = await readFile(out, 'utf8');
  assert.match(hash, /^\$scrypt\$ln=15,r=8,p=1\$/);
  assert.ok(!hash.includes(made.stdout.trim()));
  const short = await countersign(['est', 'password', '--out', out, '--password', 'short']);
  assert.deepEqual([short.code, short.stderr.includes('at least 12')], [2, true]);
  assert.equal(await readFile(out, 'utf8'), hash);
});
