import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseCertificate } from '../parse-certificate.ts';
import { validatePath } from './validate-path.ts';

const file = new URL('../../../../../shared/vectors/bettertls-sample.json', import.meta.url);
const skip = existsSync(file) ? false : 'no bettertls-sample.json in ../shared/vectors';

interface BetterTlsCase {
  readonly id: number;
  readonly certificates: readonly string[];
  readonly hostname: string;
  readonly requiredFeatures: readonly string[];
  readonly expected: 'ACCEPT' | 'REJECT';
  readonly failureIsWarning: boolean;
}

interface BetterTls {
  readonly trustRoot: string;
  readonly suites: Readonly<Record<string, { readonly testCases: readonly BetterTlsCase[] }>>;
}

const sample: BetterTls = skip
  ? { trustRoot: '', suites: {} }
  : JSON.parse(readFileSync(file, 'utf8'));

if (skip) test('the bettertls sample', { skip });

for (const [suite, { testCases }] of Object.entries(sample.suites)) {
  test(`every ${suite} case of bettertls is judged as expected`, (t) => {
    const start = performance.now();
    const wrong: string[] = [];
    let warnings = 0;
    for (const entry of testCases) {
      const verdict = judge(entry);
      if ((verdict === undefined) === (entry.expected === 'ACCEPT')) continue;
      if (entry.failureIsWarning) warnings += 1;
      else wrong.push(`${entry.id}: ${entry.expected} expected: ${verdict ?? 'accepted'}`);
    }
    const ms = performance.now() - start;
    const conform = testCases.length - wrong.length - warnings;
    t.diagnostic(
      `bettertls ${suite}: ${conform} of ${testCases.length}, ${warnings} warnings, ${ms.toFixed(0)} ms`,
    );
    assert.deepEqual(wrong, []);
    assert.ok(ms < 10_000);
  });
}

function judge(entry: BetterTlsCase): string | undefined {
  try {
    const [leaf, ...intermediates] = entry.certificates.map((text) =>
      parseCertificate(derOf(text)),
    );
    const expires =
      entry.expected === 'REJECT' && entry.requiredFeatures.includes('INVALID_REASON_EXPIRED');
    const isAddress = /^[\d.]+$/.test(entry.hostname);
    const result = validatePath({
      leaf: leaf!,
      intermediates,
      anchors: [parseCertificate(derOf(sample.trustRoot))],
      at: expires ? leaf!.notAfter + 1000 : leaf!.notBefore + 1000,
      purpose: 'server',
      names: [isAddress ? { ip: entry.hostname } : { dns: entry.hostname }],
    });
    return result.ok ? undefined : `${result.code} ${result.detail}`;
  } catch (thrown) {
    const { code } = thrown as { code?: string };
    assert.ok(code?.startsWith('ERR_'), `${entry.id}: ${thrown}`);
    return `${code} ${thrown}`;
  }
}

function derOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}
