import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parseCaConfig } from './index.ts';

const text = readFileSync(new URL('../../../docs/ca-yaml.md', import.meta.url), 'utf8');
const examples = [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, yaml = '']) => yaml);

/** An example that is a part of a file stands behind the smallest one. */
function whole(example: string): string {
  const services = 'service_certificates: { san_policies: { spiffe_trust_domain: example.com } }';
  const parts = [
    ...(/^ca:/m.test(example) ? [] : ['ca: {}']),
    ...(/^service_certificates:/m.test(example) ? [] : [services]),
    example,
  ];
  return `${parts.join('\n')}\n`;
}

describe('docs/ca-yaml.md', () => {
  it('has examples', () => assert.ok(examples.length > 3));

  for (const example of examples) {
    const [first = ''] = example.split('\n', 1);
    it(`is true in the example that begins "${first}"`, () => {
      parseCaConfig(whole(example), 'docs/ca-yaml.md');
    });
  }
});
