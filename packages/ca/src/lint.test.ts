import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { CountersignError } from '@countersign/base';
import { serialForPosition } from '@countersign/spiffe';
import {
  assembleCertificate,
  buildName,
  type Certificate,
  type Extension,
  extension,
  generateKeyPair,
  keySigner,
  oids,
  parseCertificate,
  type SubjectPublicKeyInfo,
  signatureAlgorithms,
  spkiOf,
} from '@countersign/x509';
import { issuedOf, payments, request, testAuthority } from '../test/authority-under-test.ts';
import { parseNames } from './certificate-names.ts';
import { constraintsOf } from './constraints/name-constraints.ts';
import { type Draft, draftService, type ServiceDraftFacts, serviceTemplate } from './draft.ts';
import type { Authority } from './index.ts';
import { LintedDraft, lintDraft } from './linted-draft.ts';
import { signDraft } from './sign-draft.ts';

const algorithm = signatureAlgorithms['ECDSA-SHA256'];
const serial = serialForPosition(7, new Uint8Array(12).fill(9));

const authorityOf = (certificate: Certificate) => ({
  certificate,
  links: [constraintsOf(certificate)],
});

describe('linting', () => {
  let authority: Authority;
  let issuer: Certificate;
  let spki: SubjectPublicKeyInfo;
  before(async () => {
    authority = await testAuthority();
    const issued = issuedOf(await authority.issue({ csr: await request(), spiffeId: payments }));
    issuer = parseCertificate(issued.chain[1]);
    spki = spkiOf((await generateKeyPair({ type: 'EC', curve: 'P-256' })).publicKey);
  });

  function draft(over: (good: Draft) => Partial<Draft> = () => ({})): Draft {
    const read = parseNames({ spiffeId: payments, dns: ['a.prod.internal'] });
    assert.ok(read.ok);
    const now = Math.floor(Date.now() / 1000) * 1000;
    const facts = {
      names: read.names,
      spki,
      keyHash: hash('sha256', spki.raw, 'buffer'),
      kind: { type: 'EC', curve: 'P-256' } as const,
      notBefore: now,
      notAfter: now + 60_000,
    };
    const good = draftService(
      serviceTemplate(authorityOf(issuer), authority.config.defaultProfile),
      facts,
    );
    return { ...good, ...over(good) };
  }
  const replace =
    (oid: string, ...by: Extension[]) =>
    (good: Draft) => ({
      extensions: [...good.extensions.filter((each) => each.oid !== oid), ...by],
    });
  const san = (...dns: string[]) =>
    replace(
      oids.subjectAltName,
      extension.subjectAltName(
        dns.map((value) => ({ kind: 'dns', value })),
        true,
      ),
    );

  it('passes what the policy drafts, and reads back what will be signed', () => {
    const tbs = lintDraft(draft(), algorithm).spend(serial);
    const read = parseCertificate(assembleCertificate(tbs, algorithm, new Uint8Array(64)));
    assert.equal(read.subjectAltNames.length, 2);
    assert.equal(read.notAfter, draft().notAfter);
    assert.deepEqual(read.serial, serial);
  });

  const day = 24 * 3_600_000;
  const mutations: readonly (readonly [string, (good: Draft) => Partial<Draft>, string])[] = [
    [
      'the CA flag',
      replace(oids.basicConstraints, extension.basicConstraints({ ca: true, pathLen: 0 })),
      'service-is-no-authority',
    ],
    [
      'the right to sign certificates',
      replace(oids.keyUsage, extension.keyUsage(['digitalSignature', 'keyCertSign'])),
      'key-usage-service',
    ],
    [
      'no right to sign',
      replace(oids.keyUsage, extension.keyUsage(['keyAgreement'])),
      'key-usage-service',
    ],
    [
      'a key usage that is not critical',
      replace(oids.keyUsage, extension.keyUsage(['digitalSignature'], false)),
      'key-usage-critical',
    ],
    ['no key usage', replace(oids.keyUsage), 'key-usage-critical'],
    [
      'encipherment with an EC key',
      replace(oids.keyUsage, extension.keyUsage(['digitalSignature', 'keyEncipherment'])),
      'key-usage-of-kind',
    ],
    [
      'every purpose',
      replace(oids.extKeyUsage, extension.extKeyUsage(['anyExtendedKeyUsage'])),
      'extended-key-usage',
    ],
    ['no purpose', replace(oids.extKeyUsage), 'extended-key-usage'],
    ['no name', replace(oids.subjectAltName), 'alternative-names'],
    [
      'critical names beside a subject',
      () => ({ subject: buildName([{ type: 'CN', value: 'a' }]) }),
      'alternative-names',
    ],
    [
      'names that are not critical without a subject',
      replace(
        oids.subjectAltName,
        extension.subjectAltName([{ kind: 'dns', value: 'a.prod.internal' }], false),
      ),
      'alternative-names',
    ],
    ['a name outside its issuer', san('a.elsewhere.example'), 'name-constraints'],
    ['a name that its issuer excludes', san('a.secret.prod.internal'), 'name-constraints'],
    ['a name in capitals', san('A.prod.internal'), 'alternative-name-forms'],
    ['a wildcard within', san('www.*.prod.internal'), 'alternative-name-forms'],
    [
      'a mail address',
      replace(
        oids.subjectAltName,
        extension.subjectAltName([{ kind: 'email', value: 'a@b.example' }], true),
      ),
      'alternative-name-forms',
    ],
    [
      'two SPIFFE IDs',
      replace(
        oids.subjectAltName,
        extension.subjectAltName(
          [
            { kind: 'uri', value: payments },
            { kind: 'uri', value: `${payments}2` },
          ],
          true,
        ),
      ),
      'alternative-name-forms',
    ],
    ['an end before its beginning', (good) => ({ notAfter: good.notBefore }), 'validity-order'],
    [
      'an end after its issuer',
      () => ({ notAfter: Date.now() + 3650 * day * 2 }),
      'validity-within-issuer',
    ],
    [
      'a beginning before its issuer',
      () => ({ notBefore: Date.now() - day }),
      'validity-within-issuer',
    ],
    [
      'another issuer',
      () => ({ issuer: buildName([{ type: 'CN', value: 'somebody else' }]) }),
      'issuer-name',
    ],
    ["another key's identifier", () => ({ keyId: new Uint8Array(20) }), 'subject-key-id'],
    ["no issuer's key identifier", replace(oids.authorityKeyIdentifier), 'authority-key-id'],
    [
      "another issuer's key identifier",
      replace(oids.authorityKeyIdentifier, extension.authorityKeyId(new Uint8Array(20))),
      'authority-key-id',
    ],
    [
      'a critical extension that we do not read',
      replace('1.2.3.4', extension.other('1.2.3.4', true, new Uint8Array([5, 0]))),
      'no-unknown-critical',
    ],
  ];
  for (const [what, over, rule] of mutations) {
    it(`stops a certificate with ${what}`, () => {
      assert.throws(
        () => lintDraft(draft(over), algorithm),
        (thrown: unknown) => {
          assert.ok(thrown instanceof CountersignError);
          assert.equal(thrown.code, 'ERR_LINT');
          assert.equal(thrown.fields.rule, rule, thrown.message);
          return true;
        },
      );
    });
  }

  it('checks on each certificate what is its own, also once their template was read back whole', () => {
    const template = serviceTemplate(authorityOf(issuer), authority.config.defaultProfile);
    const now = Math.floor(Date.now() / 1000) * 1000;
    const made = (over: Partial<ServiceDraftFacts>, dns = 'a.prod.internal') => {
      const read = parseNames({ spiffeId: payments, dns: [dns] });
      assert.ok(read.ok);
      const keyHash = hash('sha256', spki.raw, 'buffer');
      const kind = { type: 'EC', curve: 'P-256' } as const;
      const facts = {
        names: read.names,
        spki,
        keyHash,
        kind,
        notBefore: now,
        notAfter: now + 60_000,
      };
      return draftService(template, { ...facts, ...over });
    };
    for (let round = 0; round < 2; round += 1) {
      lintDraft(made({}), algorithm);
      const wrong: readonly (readonly [Draft, string])[] = [
        [made({ notAfter: now }), 'validity-order'],
        [made({ notAfter: issuer.notAfter + 1000 }), 'validity-within-issuer'],
        [made({ notBefore: issuer.notBefore - 1000 }), 'validity-within-issuer'],
        [made({}, 'a.elsewhere.example'), 'name-constraints'],
        [made({}, 'a.secret.prod.internal'), 'name-constraints'],
        [made({ kind: { type: 'RSA', bits: 2048 } }), 'key'],
        [{ ...made({}), extensions: [] }, 'basic-constraints'],
      ];
      for (const [draft, rule] of wrong) {
        assert.throws(
          () => lintDraft(draft, algorithm),
          (thrown: unknown) =>
            thrown instanceof CountersignError &&
            (thrown.fields.rule === rule || rule === 'basic-constraints'),
          rule,
        );
      }
    }
  });

  it('gives evidence that signs once', async () => {
    const linted = lintDraft(draft(), algorithm);
    const signer = keySigner((await generateKeyPair({ type: 'EC', curve: 'P-256' })).privateKey);
    const signed = parseCertificate(await signDraft(linted, { serial }, signer));
    assert.deepEqual(signed.serial, serial);
    assert.equal(signed.serialHex.length, 40);
    await assert.rejects(signDraft(linted, { serial }, signer), { code: 'ERR_LINT' });
  });

  it('takes no serial but one of the ledger, and cannot be made without the lint', () => {
    const linted = lintDraft(draft(), algorithm);
    assert.throws(() => linted.spend(new Uint8Array(20)), { code: 'ERR_LINT' });
    assert.throws(() => linted.spend(serial.subarray(1)), { code: 'ERR_LINT' });
    const forged = () =>
      new (LintedDraft as unknown as new (...all: unknown[]) => LintedDraft)(
        Symbol('linted draft'),
        algorithm,
        new Uint8Array(),
      );
    assert.throws(forged, TypeError);
  });
});
