import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastLine } from './authority-files.ts';
import { countersign } from './in-process.ts';

const pem = ['--cert', 'c.pem', '--key', 'k.pem', '--cacert', 'ca.pem'];
const server = ['tunnel', 'server', '--listen', '127.0.0.1:0', '--target', 'localhost:1', ...pem];
const client = ['tunnel', 'client', '--listen', 'localhost:0', '--target', 'db:5433', ...pem];
const without = (words: readonly string[], flag: string) => {
  const at = words.indexOf(flag);
  return [...words.slice(0, at), ...words.slice(at + 2)];
};

test('what a tunnel is not told, told twice or cannot do is one error, before anything is opened', async () => {
  const cases: readonly (readonly [words: readonly string[], message: RegExp])[] = [
    [server, /nobody is let in\nhint: say who: --allow-uri/],
    [[...server, '--allow-all', '--allow-cn', 'a'], /--allow-all and --allow-… are given/],
    [
      [...server, '--allow-all', '--disable-authentication'],
      /--disable-authentication and --allow/,
    ],
    [
      [...server, '--allow-uri', 'spiffe://a/b*'],
      /--allow-uri "spiffe:\/\/a\/b\*": has a "\*" that/,
    ],
    [
      [...server, '--allow-all', '--target', '10.0.0.1:1'],
      /not of this machine.*\n.*--unsafe-target/,
    ],
    [[...server, '--allow-all', '--listen', 'unix:/a'], /a server listens on HOST:PORT/],
    [[...server, '--allow-all', '--identity', 'd'], /--identity or --token, --cert with --key are/],
    [without([...server, '--allow-all'], '--cacert'), /--cacert is missing/],
    [without([...server, '--allow-all'], '--key'), /--cert and --key go together/],
    [[...server, '--allow-all', '--status', '0.0.0.0:1'], /an address of this machine alone/],
    [[...server, '--allow-all', '--proxy-protocol', '--proxy-protocol-mode', 'tls'], /one of both/],
    [
      [...server, '--allow-policy', 'b.tar.gz'],
      /--allow-policy of ghostunnel is not done\nhint: .*OPA/,
    ],
    [[...server, '--quiet=all'], /--quiet of ghostunnel is not done\nhint: use --log-level/],
    [[...client, '--listen', '0.0.0.0:0'], /others than this machine could connect/],
    [[...client, '--target', 'unix:/a'], /a client connects to HOST:PORT/],
    [[...client, '--listen', 'systemd:x'], /sockets of systemd and launchd are not done/],
    [[...client, '--listen', '::1:80'], /an IPv6 address stands in brackets/],
    [[...client, '--disable-authentication'], /shows nothing, and --cert with --key is given/],
    [[...client, '--proxy', 'http://a'], /--proxy of ghostunnel is not done/],
  ];
  for (const [words, message] of cases) {
    const { code, stderr, stdout } = await countersign(words);
    assert.equal(code, 2, words.join(' '));
    assert.match(stderr, message, words.join(' '));
    assert.equal(lastLine(stderr), 'ERR_USAGE', words.join(' '));
    assert.equal(stdout, '');
  }
});
