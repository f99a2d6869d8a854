import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { noLog } from '@countersign/base';
import {
  buildName,
  type Certificate,
  encodePem,
  extension,
  generateKeyPair,
  keySigner,
  parseCertificate,
  signCertificate,
  validatePath,
} from '@countersign/x509';
import { issuedOf, payments, request, testAuthority } from '../../test/authority-under-test.ts';
import type { Authority } from '../authority.ts';
import { readAlternateChains } from './alternate-chains.ts';
import { authorityForAcme } from './authority-for-acme.ts';

const yaml = `
ca:
  root: { curve: P-256, validity: "87600h", pathLenConstraint: 2 }
  intermediate:
    services: { issuer: europe, curve: P-256 }
    europe: { curve: P-256, pathLenConstraint: 1 }
service_certificates:
  validity: "1h"
  san_policies: { spiffe_trust_domain: example.com, allowed_dns_patterns: ["*.internal"] }
`;

describe('other chains than the usual one', () => {
  let directory = '';
  let authority: Authority;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'countersign-chains-'));
    authority = await testAuthority({ yaml });
  });
  after(async () => {
    await authority.close();
    await rm(directory, { recursive: true });
  });

  async function issue(): Promise<readonly Uint8Array[]> {
    const { chain } = issuedOf(await authority.issue({ csr: await request(), spiffeId: payments }));
    return chain;
  }

  /** A root of somebody else, and what it signs for a key of ours. */
  async function crossSigned(subject: Certificate): Promise<{ root: Certificate; cross: string }> {
    const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
    const signer = keySigner(privateKey);
    const { notBefore, notAfter } = subject;
    const ids = [
      extension.subjectKeyId(Buffer.alloc(20, 5)),
      extension.authorityKeyId(Buffer.alloc(20, 5)),
    ];
    const ca = extension.basicConstraints({ ca: true, critical: true });
    const name = buildName([{ type: 'CN', value: 'Another Root' }]);
    const own = { issuer: name, subject: name, spki: signer.spki };
    const span = { serial: Uint8Array.of(1), notBefore, notAfter };
    const root = await signCertificate({ ...own, ...span, extensions: [ca, ...ids] }, signer);
    const given = subject.extensions.filter(({ oid }) => oid !== '2.5.29.35');
    const [, authorityKeyId] = ids;
    const extensions = [...given, ...(authorityKeyId === undefined ? [] : [authorityKeyId])];
    const der = await signCertificate(
      { ...span, issuer: name, subject: subject.subject, spki: subject.spki, extensions },
      signer,
    );
    return { root: parseCertificate(root), cross: encodePem('CERTIFICATE', der) };
  }

  function proves(chain: readonly Uint8Array[], root: Certificate): void {
    const [leaf, ...intermediates] = chain.map((each) => parseCertificate(each));
    const anchors = [root];
    const at = Date.now();
    const found = validatePath({ leaf: leaf ?? assert.fail(), intermediates, anchors, at });
    assert.ok(found.ok, found.ok ? '' : found.detail);
  }

  it('are none at first', async () => {
    const chain = await issue();
    assert.deepEqual(authorityForAcme(authority).chains(chain), [chain]);
  });

  it('lead to foreign roots that have signed keys of the hierarchy, at any height of it', async () => {
    const chain = await issue();
    const [, services, europe] = chain.map((each) => parseCertificate(each));
    const files: string[] = [];
    const roots: Certificate[] = [];
    for (const subject of [services, europe, authority.root]) {
      const { root, cross } = await crossSigned(subject ?? assert.fail());
      const file = join(directory, `${files.length}.pem`);
      await writeFile(file, cross);
      files.push(file);
      roots.push(root);
    }
    const own = [...authority.doors.authorities(), authority.root];
    const alternates = await readAlternateChains(files, own, noLog);
    const [usual, ...others] = authorityForAcme(authority, alternates).chains(chain);
    assert.deepEqual(usual, chain);
    assert.deepEqual(others.map((each) => each.length).sort(), [2, 3, 4]);
    for (const each of others) proves(each, roots[each.length - 2] ?? assert.fail());
    proves(chain, authority.root);
  });

  it('are refused where a file holds no chain', async () => {
    const wrong = join(directory, 'wrong.pem');
    const chain = await issue();
    const upsideDown = [...chain].reverse().map((each) => encodePem('CERTIFICATE', each));
    for (const [text, message] of [
      ['', /read the alternate chain ".*wrong.pem": /],
      [upsideDown.join(''), /certificate 2 did not sign certificate 1/],
    ] as const) {
      await writeFile(wrong, text);
      await assert.rejects(readAlternateChains([wrong], [], noLog), {
        code: 'ERR_CONFIG_VALUE',
        message,
      });
    }
    await assert.rejects(readAlternateChains([join(directory, 'none.pem')], [], noLog), /none.pem/);
  });

  it('lead to either root while one takes the place of the other, for what was issued before too', async () => {
    const before = await issue();
    const [first = assert.fail()] = authority.bundle().authorities;
    const keys = authority.rotation ?? assert.fail();
    const by = 'operator';
    assert.deepEqual(await keys.prepare('root', { by }), { ok: true, done: true });
    const activated = await keys.activate('root', { by, threshold: 0, force: true });
    assert.ok(activated.ok, JSON.stringify(activated));
    const second = authority.root;
    const anew = await issue();
    for (const chain of [before, anew]) {
      const [usual, ...others] = authorityForAcme(authority).chains(chain);
      assert.deepEqual(usual, chain);
      const reached = [first, second].filter((root) =>
        others.some((each) => {
          const [leaf = assert.fail(), ...intermediates] = each.map((der) => parseCertificate(der));
          const at = Date.now();
          return validatePath({ leaf, intermediates, anchors: [root], at }).ok;
        }),
      );
      assert.deepEqual(reached, [first, second]);
    }
  });
});
