import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { encodePem } from '@countersign/x509';
import { issuedOf, request, testAuthority } from '../../test/authority-under-test.ts';

const goProgram = fileURLToPath(new URL('../../test/verify-chain.go', import.meta.url));
const lacks = (tool: string, ...args: string[]): string | false =>
  spawnSync(tool, args, { timeout: 10_000 }).status === 0 ? false : `${tool} is not installed`;
const skip = {
  openssl: lacks('openssl', 'version'),
  go: lacks('go', 'version'),
  gnutls: lacks('certtool', '--version'),
} as const;
for (const reason of Object.values(skip))
  if (reason !== false) process.stderr.write(`skipped: ${reason}\n`);

const yaml = (root: string) => `
ca: { root: { curve: P-256${root} } }
service_certificates: { san_policies: { spiffe_trust_domain: example.com } }
`;

for (const [what, root, takesGnutls] of [
  ['as long a path as is needed', '', 'the new alone'],
  ['a path of one more', ', pathLenConstraint: 2', 'either'],
] as const) {
  describe(`a chain to a new root, where ca.root allows ${what}`, () => {
    let folder = '';
    const files = { old: '', new: '', chain: '', leaf: '' };
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'countersign-rotation-'));
      const authority = await testAuthority({ yaml: yaml(root) });
      const { rotation } = authority;
      for (const step of ['prepare', 'activate'] as const) {
        const done = await rotation?.[step]('root', { by: 'operator', force: true });
        assert.ok(done?.ok);
      }
      const spiffeId = 'spiffe://example.com/a';
      const { chain } = issuedOf(await authority.issue({ csr: await request(), spiffeId }));
      const [first, second] = authority.bundle().authorities.map(({ raw }) => raw);
      const pem = async (name: string, all: readonly Uint8Array[]) => {
        const path = join(folder, `${name}.pem`);
        await writeFile(path, all.map((der) => encodePem('CERTIFICATE', der)).join(''));
        return path;
      };
      files.old = await pem('old', [first!]);
      files.new = await pem('new', [second!]);
      files.chain = await pem('chain', chain);
      files.leaf = await pem('leaf', chain.slice(0, 1));
      await authority.close();
    });
    after(() => rm(folder, { recursive: true, force: true }));

    it('is taken by openssl with either root', { skip: skip.openssl }, () => {
      for (const trusted of [files.old, files.new]) {
        const args = ['-x509_strict', '-CAfile', trusted, '-untrusted', files.chain, files.leaf];
        const { text } = run('openssl', ['verify', ...args]);
        assert.match(text, /OK/, text);
      }
    });

    it('is taken by go with either root', { skip: skip.go, timeout: 120_000 }, () => {
      for (const trusted of [files.old, files.new]) {
        const { text } = run('go', ['run', goProgram, trusted, files.chain, files.leaf]);
        assert.equal(text.trim(), 'ok');
      }
    });

    it(`is taken by gnutls with ${takesGnutls} root`, { skip: skip.gnutls }, () => {
      const taken = [files.old, files.new].map((trusted) => {
        const args = ['--load-ca-certificate', trusted, '--infile', files.chain];
        return run('certtool', ['--verify', '--verify-profile', 'low', ...args]).status === 0;
      });
      assert.deepEqual(taken, [takesGnutls === 'either', true]);
    });
  });
}

function run(command: string, args: readonly string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, text: `${stdout}${stderr}` };
}
