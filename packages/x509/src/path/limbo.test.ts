import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Certificate } from '../certificate.ts';
import { parseCertificate } from '../parse-certificate.ts';
import { parseCrl } from '../parse-crl.ts';
import { decodePem } from '../pem.ts';
import { limboDeviations } from './limbo-deviations.ts';
import type { ExpectedName } from './path-request.ts';
import { validatePath } from './validate-path.ts';

const file = new URL('../../../../../shared/vectors/limbo-core.json', import.meta.url);
const skip = existsSync(file) ? false : 'no limbo-core.json in ../shared/vectors';

interface PeerName {
  readonly kind: 'DNS' | 'IP' | 'RFC822';
  readonly value: string;
}

interface LimboCase {
  readonly id: string;
  readonly features: readonly string[];
  readonly validation_kind: 'SERVER' | 'CLIENT';
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly extended_key_usage: readonly string[];
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly expected_peer_name: PeerName | null;
  readonly expected_peer_names: readonly PeerName[];
  readonly max_chain_depth: number | null;
  readonly crls?: readonly string[];
}

const cases: readonly LimboCase[] = skip ? [] : JSON.parse(readFileSync(file, 'utf8')).testcases;
const deviations = new Map(limboDeviations.map((deviation) => [deviation.id, deviation]));
const mayDeviate = (entry: LimboCase) =>
  entry.id.startsWith('webpki::') ||
  entry.features.some(
    (feature) => feature.startsWith('pedantic-') || feature === 'rfc5280-incompatible-with-webpki',
  );
const always = ['pathlen::', 'pathological::', 'cve::', 'crl::', 'rfc5280::nc::'];

test('every limbo case is judged as expected, or deviates with a reason', { skip }, (t) => {
  const wrong: string[] = [];
  let conform = 0;
  let slowestMs = 0;
  for (const entry of cases) {
    const start = performance.now();
    const verdict = judge(entry, true);
    slowestMs = Math.max(slowestMs, performance.now() - start);
    const ok = verdict === undefined;
    const asExpected = ok === (entry.expected_result === 'SUCCESS');
    if (asExpected) conform += 1;
    const listed = deviations.get(entry.id)?.here;
    const here = asExpected ? undefined : ok ? 'accepts' : 'refuses';
    if (here !== listed)
      wrong.push(`${entry.id}: ${here ?? 'conforms'}, listed ${listed}: ${verdict}`);
    const fixed = always.some((prefix) => entry.id.startsWith(prefix));
    if (!asExpected && (fixed || !mayDeviate(entry))) wrong.push(`${entry.id} may not deviate`);
  }
  t.diagnostic(`limbo: ${conform} of ${cases.length} conform, slowest ${slowestMs.toFixed(0)} ms`);
  assert.deepEqual(wrong, []);
  assert.ok(conform >= 190);
  assert.ok(slowestMs < 5000);
});

test('name constraints refuse by themselves, whatever name is expected', { skip }, () => {
  const refused = cases.filter(
    ({ id, expected_result }) => id.startsWith('rfc5280::nc::') && expected_result === 'FAILURE',
  );
  assert.ok(refused.length > 20);
  for (const entry of refused) {
    const code = judge(entry, false)?.split(' ')[0] ?? 'accepted';
    assert.match(
      code,
      /^ERR_(NAME_(EXCLUDED|NOT_PERMITTED|UNCHECKABLE)|CERT_NAME_CONSTRAINTS|CERT_CRITICALITY)$/,
      entry.id,
    );
  }
});

test('every deviation names a case and says why', { skip }, () => {
  const ids = new Set(cases.map(({ id }) => id));
  for (const { id, reason } of limboDeviations) {
    assert.ok(ids.has(id), id);
    assert.ok(reason.length > 40, id);
  }
});

/** The refusal, or undefined where the path is accepted. */
function judge(entry: LimboCase, withNames: boolean): string | undefined {
  try {
    const [wanted] = entry.extended_key_usage;
    const isClient = entry.validation_kind === 'CLIENT' || wanted === 'clientAuth';
    const names = [entry.expected_peer_name, ...entry.expected_peer_names]
      .filter((name) => name !== null)
      .map(expectedName);
    const result = validatePath({
      leaf: parseCertificate(derOf(entry.peer_certificate)),
      intermediates: readable(entry.untrusted_intermediates),
      anchors: readable(entry.trusted_certs),
      at: entry.validation_time === null ? Date.now() : Date.parse(entry.validation_time),
      purpose: isClient ? 'client' : 'server',
      names: withNames ? names : [],
      crls: entry.crls?.length ? entry.crls.map((pem) => parseCrl(derOf(pem))) : undefined,
      maxDepth: entry.max_chain_depth ?? undefined,
    });
    return result.ok ? undefined : `${result.code} ${result.detail}`;
  } catch (thrown) {
    const { code } = thrown as { code?: string };
    assert.ok(code?.startsWith('ERR_'), `${entry.id}: ${thrown}`);
    return `${code} ${thrown}`;
  }
}

function derOf(pem: string): Uint8Array {
  return decodePem(pem)[0]!.bytes;
}

/** What cannot be parsed is nobody's issuer. */
function readable(pems: readonly string[]): Certificate[] {
  return pems.flatMap((pem) => {
    try {
      return [parseCertificate(derOf(pem))];
    } catch (thrown) {
      assert.ok((thrown as { code?: string }).code?.startsWith('ERR_'), String(thrown));
      return [];
    }
  });
}

function expectedName({ kind, value }: PeerName): ExpectedName {
  if (kind === 'DNS') return { dns: value };
  return kind === 'IP' ? { ip: value } : { email: value };
}
