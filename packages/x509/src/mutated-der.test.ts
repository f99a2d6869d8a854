import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountersignError } from '@countersign/base';
import fc from 'fast-check';
import { signCertificate } from './build-certificate.ts';
import { buildCertificateRequest } from './build-certificate-request.ts';
import { buildCrl } from './build-crl.ts';
import { type DerTree, encodeDerTree, readDerTree } from './der-tree.ts';
import { der } from './der-writer.ts';
import { extension, keyIdOf } from './extension-builders.ts';
import { judgeKey } from './key-kind.ts';
import { buildName, formatName, parseName } from './name.ts';
import { buildOcspRequest } from './ocsp/build-ocsp-request.ts';
import { buildOcspResponse, ocspResponder } from './ocsp/build-ocsp-response.ts';
import { certIdOf } from './ocsp/cert-id.ts';
import { checkOcspResponse } from './ocsp/check-ocsp-response.ts';
import { parseOcspRequest } from './ocsp/parse-ocsp-request.ts';
import { parseOcspResponse } from './ocsp/parse-ocsp-response.ts';
import { parseCertificate } from './parse-certificate.ts';
import { parseCertificateRequest, verifyPossession } from './parse-certificate-request.ts';
import { parseCrl } from './parse-crl.ts';
import { decodePem, encodePem } from './pem.ts';
import { decodePrivateKey, encodePrivateKey, generateKeyPair } from './private-key.ts';
import { keySigner, verifySignature } from './signer.ts';
import { parseSpki } from './spki.ts';

const { privateKey } = await generateKeyPair({ type: 'RSA-PSS', bits: 2048 });
const signer = keySigner(privateKey);
const name = buildName([
  { type: 'C', value: 'AT' },
  { type: 'CN', value: 'a' },
]);
const extensions = [
  extension.basicConstraints({ ca: true, pathLen: 0 }),
  extension.keyUsage(['keyCertSign', 'decipherOnly']),
  extension.extKeyUsage(['serverAuth', '1.2.3']),
  extension.subjectAltName([
    { kind: 'dns', value: 'a.example' },
    { kind: 'ip', bytes: Uint8Array.of(10, 0, 0, 1) },
    { kind: 'directory', name },
    { kind: 'otherName', oid: '1.2.3', value: Uint8Array.of(5, 0) },
  ]),
  extension.nameConstraints({
    permitted: [{ kind: 'dns', value: 'a' }],
    excluded: [{ kind: 'email', value: 'b' }],
  }),
  extension.subjectKeyId(keyIdOf(signer.spki)),
  extension.authorityKeyId(keyIdOf(signer.spki)),
  extension.crlDistributionPoints([['http://a']]),
  extension.authorityInfoAccess({ ocsp: ['http://a'] }),
  extension.certificatePolicies(['1.2.3']),
  extension.policyMappings([{ issuerDomainPolicy: '1.2.3', subjectDomainPolicy: '1.2.4' }]),
  extension.policyConstraints({ requireExplicitPolicy: 1 }),
  extension.inhibitAnyPolicy(1),
];
const [notBefore, notAfter] = [0, 1e12];
const template = {
  serial: Uint8Array.of(1),
  issuer: name,
  subject: name,
  notBefore,
  notAfter,
  spki: signer.spki,
  extensions,
};

const certificate = await signCertificate(template, signer);
const request = await buildCertificateRequest({ signer, subject: name, extensions });
const list = await buildCrl({
  signer,
  issuer: name,
  thisUpdate: 0,
  nextUpdate: 1e12,
  crlNumber: 1n,
  entries: [{ serialHex: '01', date: 0, reason: 'keyCompromise', invalidityDate: 0 }],
  extensions: [extension.issuingDistributionPoint({ uris: ['http://a'], indirectCrl: true })],
});

const issuer = parseCertificate(certificate);
const certId = certIdOf(issuer, issuer);
const nonce = new Uint8Array(8).fill(7);
const question = buildOcspRequest({ certIds: [certId], nonce, extensions: extensions.slice(0, 1) });
const answer = await buildOcspResponse({
  responder: ocspResponder({ signer, name, certificates: [certificate] }),
  producedAt: 0,
  answers: [
    {
      certId,
      status: { status: 'revoked', at: 0, reason: 'superseded' },
      thisUpdate: 0,
      nextUpdate: 1e12,
      archiveCutoff: 0,
    },
    { certId, status: { status: 'good' }, thisUpdate: 0 },
  ],
  nonce,
});

/** Every door that a stranger's bytes come through. */
const doors: readonly (readonly [
  string,
  Uint8Array,
  (bytes: Uint8Array) => Uint8Array | undefined,
])[] = [
  [
    'certificate',
    certificate,
    (bytes) => {
      const { raw, spki, signatureAlgorithm, tbs, signature } = parseCertificate(bytes);
      verifySignature(spki, signatureAlgorithm, tbs, signature);
      return raw;
    },
  ],
  [
    'certificate request',
    request,
    (bytes) => {
      const parsed = parseCertificateRequest(bytes);
      verifyPossession(parsed);
      return parsed.raw;
    },
  ],
  ['revocation list', list, (bytes) => parseCrl(bytes).raw],
  ['OCSP request', question, (bytes) => parseOcspRequest(bytes).raw],
  [
    'OCSP response',
    answer,
    (bytes) => {
      const response = parseOcspResponse(bytes);
      checkOcspResponse(response, { certificate: issuer, issuer, at: 1000, nonce });
      return response.raw;
    },
  ],
  [
    'public key',
    signer.spki.raw,
    (bytes) => {
      const spki = parseSpki(bytes);
      judgeKey(spki);
      return spki.raw;
    },
  ],
  [
    'name',
    name.raw,
    (bytes) => {
      const parsed = parseName(bytes);
      formatName(parsed);
      return parsed.raw;
    },
  ],
  ['any document', certificate, (bytes) => encodeDerTree(readDerTree(bytes))],
];

type Mutation = (bytes: Uint8Array) => Uint8Array;

const fraction = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const at = (bytes: Uint8Array, where: number): number => Math.floor(bytes.byteLength * where);

const flip = fc.tuple(fraction, fc.nat(7)).map(
  ([where, bit]): Mutation =>
    (bytes) => {
      const copy = bytes.slice();
      copy[at(bytes, where)] = (copy[at(bytes, where)] ?? 0) ^ (1 << bit);
      return copy;
    },
);
const set = fc
  .tuple(fraction, fc.constantFrom(0, 1, 0x7f, 0x80, 0x81, 0x84, 0xff, 0x30, 0x31, 0xa0))
  .map(
    ([where, value]): Mutation =>
      (bytes) => {
        const copy = bytes.slice();
        copy[at(bytes, where)] = value;
        return copy;
      },
  );
const truncate = fraction.map(
  (where): Mutation =>
    (bytes) =>
      bytes.slice(0, at(bytes, where)),
);
const splice = fc.tuple(fraction, fraction, fraction).map(
  ([from, to, where]): Mutation =>
    (bytes) => {
      const piece = bytes.slice(
        Math.min(at(bytes, from), at(bytes, to)),
        Math.max(at(bytes, from), at(bytes, to)),
      );
      return new Uint8Array(
        Buffer.concat([bytes.slice(0, at(bytes, where)), piece, bytes.slice(at(bytes, where))]),
      );
    },
);
const cut = fc.tuple(fraction, fc.integer({ min: 1, max: 16 })).map(
  ([where, length]): Mutation =>
    (bytes) =>
      new Uint8Array(
        Buffer.concat([bytes.slice(0, at(bytes, where)), bytes.slice(at(bytes, where) + length)]),
      ),
);

/** Swaps, doubles, drops or retags one element and mends all lengths around it: reaches what random bytes do not. */
const graft = fc
  .tuple(
    fraction,
    fraction,
    fc.constantFrom('drop', 'double', 'replace', 'retag', 'content'),
    fc.nat(255),
  )
  .map(
    ([where, from, how, octet]): Mutation =>
      (bytes) => {
        const tree = openTree(bytes);
        if (tree === undefined) return bytes;
        const nodes = nodesOf(tree);
        const target = nodes[Math.floor(nodes.length * where)];
        const donor = nodes[Math.floor(nodes.length * from)];
        const change = (node: Node): readonly Node[] => {
          if (node !== target) return [{ ...node, children: node.children?.flatMap(change) }];
          if (how === 'drop') return [];
          if (how === 'double') return [node, node];
          if (how === 'replace') return donor === undefined ? [] : [donor];
          if (how === 'retag') return [{ ...node, tag: octet }];
          return [{ tag: node.tag, content: Uint8Array.of(octet), children: undefined }];
        };
        return new Uint8Array(Buffer.concat(change(tree).map(closeTree)));
      },
  );
const mutations = fc.array(
  fc.oneof(flip, set, truncate, splice, cut, { weight: 5, arbitrary: graft }),
  {
    minLength: 0,
    maxLength: 4,
  },
);

interface Node {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly children: readonly Node[] | undefined;
}

/** With the documents inside of octet strings, such as extension values, opened too. */
function openTree(bytes: Uint8Array): Node | undefined {
  try {
    return openNode(readDerTree(bytes));
  } catch {
    return undefined;
  }
}

function openNode(tree: DerTree): Node {
  const { tag } = tree;
  if ('children' in tree)
    return { tag, content: new Uint8Array(), children: tree.children.map(openNode) };
  const inside = tag === 0x04 ? openTree(tree.content) : undefined;
  return { tag, content: tree.content, children: inside === undefined ? undefined : [inside] };
}

function nodesOf(node: Node): readonly Node[] {
  return [node, ...(node.children ?? []).flatMap(nodesOf)];
}

function closeTree(node: Node): Uint8Array {
  return der.element(node.tag, node.children?.map(closeTree) ?? [node.content]);
}

for (const [what, original, read] of doors) {
  test(`a mutated ${what} is a value that encodes to the same bytes, or our error`, () => {
    fc.assert(
      fc.property(mutations, (steps) => {
        const bytes = steps.reduce((current, step) => step(current), original);
        try {
          const again = read(bytes);
          assert.deepEqual(again, bytes);
          assert.deepEqual(encodeDerTree(readDerTree(bytes)), bytes);
        } catch (thrown) {
          if (!(thrown instanceof CountersignError)) throw thrown;
          assert.match(thrown.code, /^ERR_(DER|CERT|CSR|CRL|KEY|OCSP)_/);
        }
      }),
      { numRuns: 4000, interruptAfterTimeLimit: 1500, markInterruptAsFailure: false },
    );
  });
}

test('a mutated private key is a key, or our error that shows nothing of it', async () => {
  const key = (await generateKeyPair({ type: 'EC', curve: 'P-256' })).privateKey;
  const [block] = decodePem(encodePrivateKey(key));
  assert.ok(block);
  fc.assert(
    fc.property(mutations, (steps) => {
      const bytes = steps.reduce((current, step) => step(current), block.bytes);
      try {
        assert.equal(decodePrivateKey(encodePem('PRIVATE KEY', bytes)).type, 'private');
      } catch (thrown) {
        if (!(thrown instanceof CountersignError)) throw thrown;
        assert.equal(thrown.cause, undefined);
      }
    }),
    { numRuns: 1000, interruptAfterTimeLimit: 1000, markInterruptAsFailure: false },
  );
});
