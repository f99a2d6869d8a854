import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { makeBundle, parseSvid } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { certificatesFromPem } from '@countersign/x509';
import { type Client, type ClientDuplexStream, Metadata, status } from '@grpc/grpc-js';
import {
  type AgentWorld,
  agentWorld,
  entryFor,
  myService,
  secondService,
  untilLine,
} from './agent-world.suite.ts';
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  type DiscoveryRequest,
  type DiscoveryResponse,
  type Secret,
  sdsMessages,
  sdsMethods,
  secretType,
} from './sds/sds-messages.ts';

const federated = 'example-federated.org';
const modernEnvoy = {
  id: 'envoy-1',
  userAgentBuildVersion: { version: { majorNumber: 1, minorNumber: 40 } },
};
const entries = [
  entryFor(myService, { hint: 'myservice', federatesWith: [federated] }),
  entryFor(secondService, { federatesWith: [federated] }),
];

describe('secret discovery, state of the world', () => {
  let world: AgentWorld;
  before(async () => {
    world = await agentWorld(entries);
    world.agent.bundles.put(makeBundle(federated, [testCa().root]));
  });
  after(() => world.close());

  it('gives the first identity as default, the own bundle as ROOTCA, and both by their SPIFFE IDs', async () => {
    const stream = openSotw(world.client());
    const names = ['default', 'ROOTCA', secondService, 'spiffe://example.org'];
    stream.write(asking(names));
    const { resources, typeUrl } = await nextSotw(stream);
    stream.cancel();
    const secrets = resources.map(({ value }) => sdsMessages.secret.decode(value));
    assert.equal(typeUrl, secretType);
    assert.deepEqual(
      secrets.map(({ name }) => name),
      names,
    );
    assert.deepEqual(
      secrets.flatMap((secret) => idOf(secret) ?? []),
      [myService, secondService],
    );
    const [root] = certificatesFromPem(textOf(secrets[1]?.validationContext?.trustedCa));
    assert.deepEqual(root?.raw, world.authority.ca.root.raw);
  });

  it('gives all trust domains as ALL, each with its own bundle, for the SPIFFE validator', async () => {
    const stream = openSotw(world.client());
    stream.write(asking(['ALL']));
    const { resources } = await nextSotw(stream);
    stream.cancel();
    const [secret] = resources.map(({ value }) => sdsMessages.secret.decode(value));
    assert.deepEqual(domainsOf(secret), [federated, 'example.org']);
  });

  it('gives an Envoy that has the SPIFFE validator its configuration in every context', async () => {
    const stream = openSotw(world.client());
    const node = modernEnvoy;
    stream.write({ ...asking(['ROOTCA', `spiffe://${federated}`]), node });
    const { resources } = await nextSotw(stream);
    stream.cancel();
    const secrets = resources.map(({ value }) => sdsMessages.secret.decode(value));
    assert.deepEqual(secrets.map(domainsOf), [['example.org'], [federated]]);
  });

  it('gives everything to who names nothing', async () => {
    const stream = openSotw(world.client());
    stream.write(asking([]));
    const { resources } = await nextSotw(stream);
    stream.cancel();
    const names = resources.map(({ value }) => sdsMessages.secret.decode(value).name);
    const all = ['spiffe://example.org', `spiffe://${federated}`, myService, secondService];
    assert.deepEqual(names, all);
  });

  it('pushes a rotated certificate once it has been acknowledged, and nothing else', async () => {
    const stream = openSotw(world.client());
    stream.write(asking(['default']));
    const first = await nextSotw(stream);
    stream.write({ ...asking(['default']), ...ackOf(first) });
    world.agent.renewAll();
    const second = await nextSotw(stream);
    assert.notEqual(first.versionInfo, second.versionInfo);
    // A context that did not change is not sent with a rotation.
    const other = openSotw(world.client());
    other.write(asking(['ROOTCA']));
    await nextSotw(other);
    world.agent.renewAll();
    await nextSotw(stream);
    other.write(asking(['ALL']));
    const { resources } = await nextSotw(other);
    assert.equal(sdsMessages.secret.decode(resources[0]!.value).name, 'ALL');
    stream.cancel();
    other.cancel();
  });

  it('shows a refused answer to the operator, does not repeat it, and goes on with the next', async () => {
    const stream = openSotw(world.client());
    stream.write({ ...asking(['default']), node: modernEnvoy });
    const first = await nextSotw(stream);
    const errorDetail = { code: 3, message: 'Failed to load certificate chain' };
    stream.write({ ...asking(['default']), responseNonce: first.nonce, errorDetail });
    await untilLine(world, 'Envoy refuses the secrets: Failed to load certificate chain');
    world.agent.renewAll();
    assert.notEqual((await nextSotw(stream)).versionInfo, first.versionInfo);
    stream.cancel();
    const line = world.lines.find(({ message }) => message.startsWith('Envoy refuses'));
    assert.deepEqual(line?.node, 'envoy-1');
    assert.deepEqual(line?.names, ['default']);
  });

  it('refuses the names of others and other types by name', async () => {
    for (const [request, reason] of [
      [asking(['spiffe://example.org/other']), /"spiffe:\/\/example.org\/other"/],
      [{ ...asking([]), typeUrl: 'type.googleapis.com/x' }, /type.googleapis.com\/x/],
    ] as const) {
      const stream = openSotw(world.client());
      stream.write(request);
      const [error] = await once(stream, 'error', { signal: AbortSignal.timeout(30_000) });
      assert.equal(error.code, status.INVALID_ARGUMENT);
      assert.match(error.details, reason);
    }
  });

  it('answers a single fetch', async () => {
    const { path, request } = sdsMethods.fetchSecrets;
    const bytes = await new Promise<Uint8Array>((resolve, reject) => {
      world.client().makeUnaryRequest(
        path,
        request.encode,
        (encoded) => encoded,
        asking(['default']),
        (error, value) => (value === undefined ? reject(error) : resolve(value)),
      );
    });
    const { resources } = sdsMessages.response.decode(bytes);
    assert.equal(idOf(sdsMessages.secret.decode(resources[0]!.value)), myService);
  });
});

describe('secret discovery, delta', () => {
  let world: AgentWorld;
  before(async () => {
    world = await agentWorld(entries);
  });
  after(() => world.close());

  it('sends what is subscribed to, then what changed of it alone', async () => {
    const stream = openDelta(world.client());
    stream.write(subscribing(['default', 'ROOTCA']));
    const first = await nextDelta(stream);
    assert.deepEqual(
      first.resources.map(({ name }) => name),
      ['default', 'ROOTCA'],
    );
    stream.write({ ...subscribing([]), responseNonce: first.nonce });
    world.agent.renewAll();
    const second = await nextDelta(stream);
    assert.deepEqual(
      second.resources.map(({ name }) => name),
      ['default'],
    );
    stream.cancel();
  });

  it('says once that there is none of a name, and sends it when there is', async () => {
    const third = 'spiffe://example.org/third';
    const stream = openDelta(world.client());
    stream.write(subscribing([third]));
    assert.deepEqual((await nextDelta(stream)).removedResources, [third]);
    world.agent.setEntries([...entries, entryFor(third)]);
    const { resources } = await nextDelta(stream);
    assert.deepEqual(
      resources.map(({ name }) => name),
      [third],
    );
    world.agent.setEntries(entries);
    assert.deepEqual((await nextDelta(stream)).removedResources, [third]);
    stream.cancel();
  });

  it('sends a reconnecting client only what it does not have', async () => {
    const one = openDelta(world.client());
    one.write(subscribing(['default', 'ROOTCA']));
    const { resources } = await nextDelta(one);
    one.cancel();
    const root = resources.find(({ name }) => name === 'ROOTCA');
    const two = openDelta(world.client());
    const initialResourceVersions = { ROOTCA: root?.version ?? '', default: 'old' };
    two.write({ ...subscribing(['default', 'ROOTCA']), initialResourceVersions });
    const again = await nextDelta(two);
    two.cancel();
    assert.deepEqual(
      again.resources.map(({ name }) => name),
      ['default'],
    );
  });
});

type Sotw = ClientDuplexStream<DiscoveryRequest, Uint8Array>;
type Delta = ClientDuplexStream<DeltaDiscoveryRequest, Uint8Array>;

function openSotw(client: Client): Sotw {
  const { path, request } = sdsMethods.streamSecrets;
  const metadata = new Metadata();
  const stream = client.makeBidiStreamRequest(path, request.encode, (bytes) => bytes, metadata);
  stream.on('error', () => {});
  return stream;
}

function openDelta(client: Client): Delta {
  const { path, request } = sdsMethods.deltaSecrets;
  const stream = client.makeBidiStreamRequest(path, request.encode, (bytes) => bytes);
  stream.on('error', () => {});
  return stream;
}

function asking(resourceNames: readonly string[]): DiscoveryRequest {
  return { resourceNames, typeUrl: secretType };
}

function subscribing(names: readonly string[]): DeltaDiscoveryRequest {
  return { resourceNamesSubscribe: names, resourceNamesUnsubscribe: [], typeUrl: secretType };
}

function ackOf({ versionInfo, nonce }: DiscoveryResponse) {
  return { versionInfo, responseNonce: nonce };
}

async function nextSotw(stream: Sotw): Promise<DiscoveryResponse> {
  const [bytes] = await once(stream, 'data', { signal: AbortSignal.timeout(30_000) });
  return sdsMessages.response.decode(bytes);
}

async function nextDelta(stream: Delta): Promise<DeltaDiscoveryResponse> {
  const [bytes] = await once(stream, 'data', { signal: AbortSignal.timeout(30_000) });
  return sdsMessages.deltaResponse.decode(bytes);
}

function idOf({ tlsCertificate }: Secret): string | undefined {
  if (tlsCertificate === undefined) return undefined;
  const { certificateChain, privateKey } = tlsCertificate;
  return parseSvid(textOf(certificateChain), textOf(privateKey)).spiffeId.toString();
}

function domainsOf(secret: Secret | undefined): string[] {
  const config = secret?.validationContext?.customValidatorConfig;
  const bytes = config?.typedConfig.value ?? new Uint8Array();
  return sdsMessages.spiffeValidator.decode(bytes).trustDomains.map(({ name }) => name);
}

function textOf(source: { readonly inlineBytes: Uint8Array } | undefined): string {
  return Buffer.from(source?.inlineBytes ?? []).toString('utf8');
}
