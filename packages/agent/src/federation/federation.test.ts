import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { type Fields, type Log, noLog, noMeter, systemClock } from '@countersign/base';
import { createMtlsListener } from '@countersign/mtls';
import {
  formatBundleDocument,
  makeBundle,
  makeSvid,
  staticBundles,
  type TrustBundle,
} from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { encodePem } from '@countersign/x509';
import type { FederatedDomain } from '../agent-config.ts';
import { BundleBook } from '../svids/bundle-book.ts';
import { Federation } from './follow-federation.ts';

const foreign = 'example-federated.org';
const endpointId = `spiffe://${foreign}/endpoint`;

describe('a foreign trust domain', () => {
  it('is known by a file, as PEM or as a bundle document', async (t) => {
    const bundle = makeBundle(foreign, [testCa().root]);
    const pem = encodePem('CERTIFICATE', bundle.authorities[0]?.raw ?? new Uint8Array());
    for (const text of [pem, formatBundleDocument(bundle)]) {
      const { book } = await follow(t, { kind: 'file', path: 'x' }, text);
      assert.equal(book.bundle(foreign)?.authorities.length, 1);
    }
    await assert.rejects(follow(t, { kind: 'file', path: 'x' }, 'nonsense'), /PEM|certificate/);
  });

  it('is followed at its endpoint by its own identity, also when it replaces its root', async (t) => {
    const endpoint = await startEndpoint(t);
    const old = endpoint.ca;
    const { book } = await follow(t, sourceOf(endpoint), pemOf(old.root));
    await changeOf(book, ({ sequence }) => sequence === 1);
    // The new root is published beside the old one, and then serves the endpoint itself.
    const fresh = testCa({ name: 'fresh root' });
    endpoint.publish({
      ...makeBundle(foreign, [old.root, fresh.root]),
      sequence: 2,
      refreshHintSeconds: 1,
    });
    await changeOf(book, ({ authorities }) => authorities.length === 2);
    endpoint.serveBy(fresh);
    endpoint.publish({ ...makeBundle(foreign, [fresh.root]), sequence: 3, refreshHintSeconds: 1 });
    await changeOf(book, ({ sequence }) => sequence === 3);
    assert.deepEqual(book.bundle(foreign)?.authorities[0]?.raw, fresh.root.raw);
    // An older bundle, played back, is left alone.
    endpoint.publish({ ...makeBundle(foreign, [old.root]), sequence: 2, refreshHintSeconds: 1 });
    await endpoint.asked();
    await endpoint.asked();
    assert.equal(book.bundle(foreign)?.sequence, 3);
  });

  it('keeps its bundle while somebody else answers at its endpoint, or nobody', async (t) => {
    const endpoint = await startEndpoint(t);
    const told = Promise.withResolvers<string>();
    const stranger = testCa();
    endpoint.serveBy(stranger);
    const { book } = await follow(
      t,
      sourceOf(endpoint),
      pemOf(endpoint.ca.root),
      logOf(told.resolve),
    );
    assert.match(
      await told.promise,
      /federated bundle not read: fetch the bundle of "example-federated.org"/,
    );
    assert.deepEqual(book.bundle(foreign)?.authorities[0]?.raw, endpoint.ca.root.raw);
  });
});

type Endpoint = Awaited<ReturnType<typeof startEndpoint>>;

function sourceOf({ url }: Endpoint): FederatedDomain['source'] {
  return { kind: 'https_spiffe', url, endpointSpiffeId: endpointId, bootstrapPath: 'x' };
}

async function startEndpoint(t: TestContext) {
  const ca = testCa();
  const web = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(formatBundleDocument(published));
    for (const tell of waiting.splice(0)) tell();
  });
  const waiting: (() => void)[] = [];
  let published: TrustBundle = {
    ...makeBundle(foreign, [ca.root]),
    sequence: 1,
    refreshHintSeconds: 1,
  };
  let svid = svidBy(ca);
  const listener = createMtlsListener({
    ...{ name: 'bundles', clientAuth: 'none', clock: systemClock, log: noLog, meter: noMeter },
    svids: { svid: () => svid },
    bundles: staticBundles(published),
    onConnection: (socket) => web.emit('connection', socket),
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  t.after(() => listener.close(0));
  return {
    ca,
    url: `https://127.0.0.1:${port}/bundle`,
    publish(bundle: TrustBundle) {
      published = bundle;
    },
    serveBy(other: typeof ca) {
      svid = svidBy(other);
      listener.reload();
    },
    asked: () => new Promise<void>((resolve) => waiting.push(resolve)),
  };
}

function svidBy(ca: ReturnType<typeof testCa>) {
  const { chain, privateKey } = ca.svid(endpointId);
  return makeSvid(chain, privateKey);
}

async function follow(
  t: TestContext,
  source: FederatedDomain['source'],
  file: string,
  log: Log = noLog,
): Promise<{ readonly book: BundleBook }> {
  const book = new BundleBook(makeBundle('example.org', [testCa().root]), noLog);
  const federation = new Federation({
    bundles: book,
    readFile: async () => Buffer.from(file),
    ...{ clock: systemClock, log, meter: noMeter },
  });
  await federation.follow([{ trustDomain: foreign, source }]);
  t.after(() => federation.stop());
  return { book };
}

function changeOf(book: BundleBook, isSo: (bundle: TrustBundle) => boolean): Promise<void> {
  const isNow = () => {
    const bundle = book.bundle(foreign);
    return bundle !== undefined && isSo(bundle);
  };
  return new Promise((resolve) => {
    const look = () => {
      if (!isNow()) return;
      unsubscribe();
      resolve();
    };
    const unsubscribe = book.onChange(look);
    look();
  });
}

function pemOf({ raw }: { readonly raw: Uint8Array }): string {
  return encodePem('CERTIFICATE', raw);
}

function logOf(keep: (message: string) => void): Log {
  const each = (_fields: Fields, message: string) => keep(message);
  const log: Log = { debug: each, info: each, warn: each, error: each, child: () => log };
  return log;
}
