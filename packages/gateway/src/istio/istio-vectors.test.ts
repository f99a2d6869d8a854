import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ConfigError, parseYamlDocuments, type SourceDocument } from '@countersign/config';
import { isRoutingDocument, readIstioDocuments } from './istio-documents.ts';

const directory = join(import.meta.dirname, '../../../../../shared/vectors/istio-api');
const skip = existsSync(directory) ? false : `no vectors at ${directory}`;

/** What is refused of the documents that Istio calls valid, by name and field. */
const refused = [
  'DestinationRule bookinfo-ratings: spec.trafficPolicy.loadBalancer.warmup',
  'DestinationRule bookinfo-ratings: spec.trafficPolicy.loadBalancer.warmup',
  'DestinationRule bookinfo-ratings: spec.trafficPolicy.loadBalancer.warmup',
  'DestinationRule bookinfo-ratings-http2-ping: spec.trafficPolicy.connectionPool.http.http2KeepAlive',
  // `001:db8::` in brackets is a map for YAML 1.2.
  'ServiceEntry full: spec.addresses.1',
  'WorkloadEntry missing-address-network-set: spec.address',
  'WorkloadEntry uds-abstract: spec.address',
  'WorkloadEntry uds-path: spec.address',
];

test('every routing document of the vectors is read, or refused by the name of what is not done', {
  skip,
}, (t) => {
  const found: string[] = [];
  let read = 0;
  let invalid = 0;
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.yaml'))) {
    const isValid = file.endsWith('-valid.yaml');
    const documents = parseYamlDocuments(readFileSync(join(directory, file), 'utf8'), file);
    for (const document of documents.map(withoutVerdict).filter(isRoutingDocument)) {
      const thrown = refusalOf(document);
      const { kind, metadata } = document.value as { kind: string; metadata?: { name?: string } };
      const name = `${kind} ${metadata?.name}`;
      if (thrown === undefined) read += 1;
      else {
        const [issue] = thrown.issues;
        assert.ok(issue !== undefined && issue.line > 0, name);
        if (isValid) found.push(`${name}: ${issue.path}`);
        else invalid += 1;
      }
      if (expectedToFail.has(document.value as object)) {
        assert.ok(thrown !== undefined, `${file}: ${name} is invalid, and was read`);
      }
    }
  }
  t.diagnostic(`${read} read, ${found.length} refused for what is not done, ${invalid} invalid`);
  for (const each of found) t.diagnostic(each);
  assert.deepEqual(found.toSorted(), refused.toSorted());
  assert.ok(read >= 6 && invalid >= 20, `${read} read, ${invalid} invalid`);
});

const expectedToFail = new WeakSet<object>();

/** Vectors say beside a document what Istio finds wrong with it. */
function withoutVerdict(document: SourceDocument): SourceDocument {
  const { _err: verdict, ...value } = document.value as Record<string, unknown>;
  if (verdict !== undefined) expectedToFail.add(value);
  return { ...document, value };
}

function refusalOf(document: SourceDocument): ConfigError | undefined {
  try {
    readIstioDocuments([document]);
    return undefined;
  } catch (thrown) {
    return thrown as ConfigError;
  }
}
