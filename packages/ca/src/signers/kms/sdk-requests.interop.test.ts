import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, test } from 'node:test';
import { systemClock } from '@countersign/base';
import { azureKeyVault } from '../../../test/azure-key-vault-double.ts';
import { foreignPackage } from '../../../test/foreign-packages.ts';
import { googleKms } from '../../../test/google-kms-double.ts';
import { type KmsCall, shapeOf, startKmsDouble } from '../../../test/kms-double.ts';
import { azureKeyVaultStore } from './azure-key-vault-store.ts';
import { googleKmsStore } from './google-kms-store.ts';

/* The vendors' SDKs and our stores ask the same double for the same things: the requests must have one shape. */

const token = 'token-4711';
const p256 = { type: 'EC', curve: 'P-256' } as const;
const digest = createHash('sha256').update('data').digest();

const google = await foreignPackage<GoogleSdk>('@google-cloud/kms');
const azure = await foreignPackage<AzureSdk>('@azure/keyvault-keys');
const azurePipeline = await foreignPackage<AzurePipeline>('@azure/core-rest-pipeline');
const googleDouble = await startKmsDouble(googleKms(token));
const azureDouble = await startKmsDouble(azureKeyVault(token, () => azureDouble.url));
after(() => Promise.all([googleDouble.stop(), azureDouble.stop()]));

test("our requests to Google Cloud KMS have the shape of its SDK's", {
  skip: typeof google === 'string' && google,
}, async () => {
  const { calls } = googleDouble;
  const keyRing = 'projects/p/locations/l/keyRings/r';
  const sdk = google as GoogleSdk;
  const { hostname, port } = new URL(googleDouble.url);
  const client = new sdk.KeyManagementServiceClient({
    fallback: true,
    protocol: 'http',
    apiEndpoint: hostname,
    port: Number(port),
    auth: { getClient: async () => ({}), fetch: fetchWithToken },
  });
  const versionTemplate = { algorithm: 'EC_SIGN_P256_SHA256', protectionLevel: 'HSM' };
  const cryptoKey = { purpose: 'ASYMMETRIC_SIGN', versionTemplate };
  await client.createCryptoKey({ parent: keyRing, cryptoKeyId: 'sdk-key', cryptoKey });
  const name = `${keyRing}/cryptoKeys/sdk-key/cryptoKeyVersions/1`;
  await client.getCryptoKeyVersion({ name });
  await client.getCryptoKeyVersion({ name });
  await client.getPublicKey({ name });
  await client.getPublicKey({ name });
  await client.asymmetricSign({ name, digest: { sha256: digest } });
  await client.destroyCryptoKeyVersion({ name });
  await client.close();
  const theirs = calls.splice(0).map(shapeOf);

  const store = googleKmsStore({
    keyRing,
    endpoint: googleDouble.url,
    token: async () => token,
    clock: systemClock,
  });
  const description = await store.generate(p256, 'root');
  await (await store.open(description)).sign(Uint8Array.of(1));
  await store.discard(description);
  assert.deepEqual(calls.map(shapeOf), theirs);
  assert.equal(theirs.length, 7);
});

test("our requests to Azure Key Vault have the shape of its SDK's", {
  skip: typeof azure === 'string' && azure,
}, async () => {
  const sdk = azure as AzureSdk;
  const pipeline = azurePipeline as AzurePipeline;
  const vault = 'https://ca.vault.azure.net';
  const asked: KmsCall[] = [];
  const handle = azureKeyVault(token, () => vault);
  const credential = {
    getToken: async () => ({ token, expiresOnTimestamp: systemClock.now() + 3_600_000 }),
  };
  const options = {
    serviceVersion: '7.4',
    disableChallengeResourceVerification: true,
    httpClient: { sendRequest: answer },
  };
  async function answer(request: PipelineRequest) {
    const url = new URL(request.url);
    const { body } = request;
    const call: KmsCall = {
      method: request.method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      authorization: request.headers.get('authorization'),
      body: typeof body === 'string' ? JSON.parse(body) : undefined,
    };
    const reply = handle(call);
    if (reply.status === 200) asked.push(call);
    const headers = pipeline.createHttpHeaders(reply.headers);
    return { request, status: reply.status, headers, bodyAsText: JSON.stringify(reply.body) };
  }
  const client = new sdk.KeyClient(vault, credential, options);
  const keyOps = ['sign', 'verify'];
  const made = await client.createEcKey('sdk-key', {
    curve: 'P-256',
    hsm: true,
    keyOps,
    enabled: true,
  });
  const { version } = made.properties;
  await client.getKey('sdk-key', { version });
  const signer = new sdk.CryptographyClient(made.id, credential, options);
  await signer.sign('ES256', digest);
  const theirs = asked.map(shapeOf);

  const store = azureKeyVaultStore({
    vault: azureDouble.url,
    token: async () => token,
    clock: systemClock,
  });
  await (await store.open(await store.generate(p256, 'root'))).sign(Uint8Array.of(1));
  const ours = azureDouble.calls.map(shapeOf);
  assert.deepEqual(ours, [...new Set(theirs)]);
});

function fetchWithToken(url: string, init: RequestInit): Promise<Response> {
  return fetch(url, { ...init, headers: { authorization: `Bearer ${token}` } });
}

type Call = (request: object) => Promise<unknown>;

interface GoogleSdk {
  readonly KeyManagementServiceClient: new (
    options: object,
  ) => {
    readonly createCryptoKey: Call;
    readonly getCryptoKeyVersion: Call;
    readonly getPublicKey: Call;
    readonly asymmetricSign: Call;
    readonly destroyCryptoKeyVersion: Call;
    close(): Promise<void>;
  };
}

interface AzurePipeline {
  createHttpHeaders(headers: Readonly<Record<string, string>> | undefined): object;
}

interface PipelineRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: { get(name: string): string | undefined };
  readonly body?: unknown;
}

interface AzureSdk {
  readonly KeyClient: new (
    vault: string,
    credential: object,
    options: object,
  ) => {
    createEcKey(name: string, options: object): Promise<MadeKey>;
    getKey(name: string, options: object): Promise<MadeKey>;
  };
  readonly CryptographyClient: new (
    key: string,
    credential: object,
    options: object,
  ) => {
    sign(algorithm: string, digest: Uint8Array): Promise<unknown>;
  };
}

interface MadeKey {
  readonly id: string;
  readonly properties: { readonly version: string };
}
