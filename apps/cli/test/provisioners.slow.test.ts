import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPublicKey, hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import {
  awsDocument,
  awsRegion,
  azureDocument,
  azureService,
  gcpClaims,
  type SoftTpmServer,
  softTpmServerMissing,
  startSoftTpmServer,
} from '@countersign/testkit';
import { certificatesFromPem, formatGeneralName } from '@countersign/x509';
import { bin, countersign, startCountersign, temporaryDirectory } from './countersign.ts';
import { startMetadata } from './metadata-service.ts';
import { tokenIssuer } from './signed-token.ts';

const run = promisify(execFile);
const docs = new URL('../../../docs/', import.meta.url);
const hierarchy = `ca:
  root: { curve: P-256, validity: 720h }
  intermediate: { services: { curve: P-256, validity: 168h } }
`;
const foreign = join(homedir(), '.cache/countersign-foreign/bin');
const step = existsSync(join(foreign, 'step'))
  ? undefined
  : 'no step (go install github.com/smallstep/cli/cmd/step, by .ci/foreign-tools)';

async function pageOf(name: string): Promise<{ yaml: string; commands: string[] }> {
  const text = await readFile(new URL(name, docs), 'utf8');
  const yaml = /```yaml\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
  return {
    yaml,
    commands: [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, each = '']) => each),
  };
}

describe('the commands of docs/provisioners', { timeout: 600_000 }, () => {
  const issuer = tokenIssuer();
  const ended: (() => unknown)[] = [];
  const t = { after: (work: () => unknown) => ended.push(work) } as unknown as TestContext;
  let directory = '';
  let env: Record<string, string> = {};
  let metadata = '';
  const noTpm = softTpmServerMissing();
  let tpm: SoftTpmServer | undefined;
  const tpmNames: string[] = [];

  before(async () => {
    directory = await temporaryDirectory(t);
    const file = (name: string) => join(directory, name);
    const [aws, azure] = [await awsRegion(), await azureService()];
    metadata = await startMetadata(t, {
      aws: () => aws.sign(awsDocument({ instanceId: 'i-0123' })),
      gcp: (aud) => issuer.token(gcpClaims({ aud })),
      azure: (nonce) => azure.sign(azureDocument(nonce)),
      azureToken: (aud) =>
        issuer.token({
          ...{
            iss: 'https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/',
            aud,
            sub: 'o',
          },
          xms_mirid:
            '/subscriptions/8d10da13-8125-4ba9-a717-bf7490507b3d/resourcegroups/shop/providers/Microsoft.Compute/virtualMachines/cart',
        }),
    });

    // GitHub: the issuer, and the address at which a job gets its token.
    const forge = createServer((request, response) => {
      const at = `http://127.0.0.1:${(forge.address() as AddressInfo).port}`;
      const claims = {
        iss: at,
        repository_owner: 'shop',
        ref: 'refs/tags/v1',
        repository_id: '42',
      };
      const value = issuer.token({ ...claims, sub: 'repo:shop/cart', aud: 'countersign' });
      const { pathname } = new URL(request.url ?? '/', at);
      const answers: Readonly<Record<string, string>> = {
        '/.well-known/openid-configuration': JSON.stringify({ issuer: at, jwks_uri: `${at}/jwks` }),
        '/jwks': issuer.jwks,
        '/token': JSON.stringify({ count: 1, value }),
      };
      response.end(answers[pathname]);
    });
    await new Promise<void>((resolve) => forge.listen(0, '127.0.0.1', resolve));
    ended.push(() => forge.close());
    const forgeAt = `http://127.0.0.1:${(forge.address() as AddressInfo).port}`;

    // A machine with a TPM, whose key the authority is told of.
    let ek = '0'.repeat(64);
    if (noTpm === false) {
      tpm = await startSoftTpmServer();
      ended.push(() => tpm?.remove());
      tpm.tool('tpm2_createek', '-G', 'ecc', '-c', 'ek.ctx', '-f', 'pem', '-u', 'ek.pem');
      tpm.tool('tpm2_flushcontext', '-t');
      const key = createPublicKey(await readFile(join(tpm.directory, 'ek.pem')));
      ek = hash('sha256', key.export({ format: 'der', type: 'spki' }));
      tpmNames.push(`uri:spiffe://example.com/tpm/${ek}`);
    }

    // What the pages' configuration names.
    await writeFile(file('cluster.jwks'), issuer.jwks);
    await writeFile(file('operators.jwks'), issuer.jwks);
    await writeFile(file('aws-rsa2048.pem'), aws.pem);
    await writeFile(file('azure.pem'), azure.pem);
    await writeFile(
      file('token'),
      issuer.token({
        iss: 'https://kubernetes.default.svc.cluster.local',
        sub: 'system:serviceaccount:shop:cart',
        aud: ['countersign'],
      }),
    );
    await mkdir(file('partner'));
    await run('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=web'],
      ...['-keyout', file('partner/key.pem'), '-out', file('partner/cert.pem')],
      ...[
        '-addext',
        'subjectAltName=URI:spiffe://example.com/web,DNS:web.example.test',
        '-addext',
        'basicConstraints=critical,CA:FALSE',
      ],
      ...['-addext', 'keyUsage=digitalSignature', '-addext', 'authorityKeyIdentifier=keyid'],
    ]);
    await writeFile(file('partner.pem'), await readFile(file('partner/cert.pem')));

    const { yaml: surroundings } = await pageOf('provisioners.md');
    const names = await readdir(new URL('provisioners/', docs));
    const pages = await Promise.all(names.map((name) => pageOf(`provisioners/${name}`)));
    const entries = pages.map(({ yaml }) => yaml.replace('provisioners:\n', '')).join('');
    const ofTest = `${hierarchy}${surroundings}provisioners:\n${entries}`
      .replaceAll('/etc/countersign', directory)
      .replace(/ek: \["[0-9a-f]{64}"\]/, `ek: ["${ek}"]`)
      .replace(
        'https://token.actions.githubusercontent.com',
        `${forgeAt}\n    allow: [127.0.0.0/8]`,
      )
      .replace(
        'audiences: [countersign]\n    claims: { project',
        `jwks_file: ${file('cluster.jwks')}\n    audiences: [countersign]\n    claims: { project`,
      )
      .replace('audiences: ["api', `jwks_file: ${file('cluster.jwks')}\n    audiences: ["api`);
    await writeFile(file('ca.yaml'), ofTest);
    const words = ['--config', file('ca.yaml'), '--data', file('state')];
    const made = await countersign(['init', ...words]);
    assert.equal(made.code, 0, made.stderr);
    const server = await startCountersign(t, ['ca', 'serve', ...words, '--port', '0'], {
      timeoutMs: 900_000,
    });
    env = {
      CA: server.urls[0] ?? '',
      ROOT: made.stdout.trim(),
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'runner',
      ACTIONS_ID_TOKEN_REQUEST_URL: `${forgeAt}/token?api=1`,
      PATH: `${foreign}:${process.env.PATH}`,
    };
    await writeFile(file('root.pem'), await readFile(file('state/root.pem')));
  });
  after(async () => {
    for (const work of ended.toReversed()) await work();
  });

  const shell = (script: string) =>
    run('bash', ['-euc', `countersign() { '${process.execPath}' '${bin}' "$@"; }\n${script}`], {
      cwd: directory,
      env: { ...process.env, ...env, NODE_TEST_CONTEXT: '' },
      timeout: 120_000,
    });

  const pages: readonly (readonly [string, Readonly<Record<string, readonly string[]>>])[] = [
    ['join-token.md', { web: ['uri:spiffe://example.com/ns/prod/sa/web', 'dns:web.example.test'] }],
    ['oidc.md', { job: ['uri:spiffe://example.com/ci/42'] }],
    ['kubernetes.md', { cart: ['uri:spiffe://example.com/ns/shop/sa/cart'] }],
    ['jwk.md', { web: ['uri:spiffe://example.com/web', 'dns:web.example.test'] }],
    ['x5c.md', { web: ['uri:spiffe://example.com/web', 'dns:web.example.test'] }],
    ['aws.md', { machine: ['uri:spiffe://example.com/aws/123456789012/i-0123'] }],
    ['gcp.md', { machine: ['uri:spiffe://example.com/gcp/shop/web-1'] }],
    [
      'azure.md',
      {
        machine: ['uri:spiffe://example.com/azure/13f56399-bd52-4150-9748-7190aae1ff21'],
        identity: ['uri:spiffe://example.com/azure/shop/cart'],
      },
    ],
    ['tpm.md', { machine: tpmNames }],
  ];
  for (const [name, outcome] of pages) {
    const needs = name === 'jwk.md' ? step : undefined;
    const skip = needs ?? (name === 'tpm.md' ? noTpm : false);
    it(`${name} give certificates`, { skip }, async () => {
      const { commands } = await pageOf(`provisioners/${name}`);
      const script = commands
        .join('')
        .replaceAll('/etc/countersign', directory)
        .replaceAll('/var/run/secrets/countersign', directory)
        .replaceAll('--attest tpm', `--tpm ${tpm?.socket} --attest=tpm`)
        .replaceAll('--attest ', `--metadata ${metadata} --attest `)
        .replaceAll(/--out (\w+)/g, (_, out) => `--out ${name}-${out}`);
      await shell(script);
      for (const [out, names] of Object.entries(outcome)) {
        const pem = await readFile(join(directory, `${name}-${out}/cert.pem`));
        const [leaf] = certificatesFromPem(pem);
        assert.deepEqual(leaf?.subjectAltNames.map(formatGeneralName), names);
      }
    });
  }

  it('come once where they are good once, and say what does not go together', async () => {
    const { CA = '', ROOT = '' } = env;
    const place = ['enrol', '--ca', CA, '--out', join(directory, 'again')];
    const pinned = [...place, '--fingerprint', ROOT];
    const refusals: readonly (readonly [readonly string[], number, RegExp])[] = [
      [[...pinned, '--attest', 'aws', '--metadata', metadata], 1, /ERR_PROVISIONER_USED/],
      [[...pinned, '--attest', 'aws', '--metadata', 'http://127.0.0.1:1'], 3, /ERR_EVIDENCE_META/],
      [[...pinned, '--attest', 'gcp'], 2, /--attest gcp needs --audience/],
      [[...pinned, '--attest', 'aws', '--audience', 'x'], 2, /--audience is nothing of aws/],
      [[...pinned, '--attest', 'aws', '--profile', 'gold'], 2, /--profile goes with join tokens/],
      [
        [...pinned, '--token', `@${directory}/token`, '--profile', 'gold'],
        2,
        /ERR_IDENTITY_BEARER/,
      ],
      [[...pinned, '--token', 'x', '--audience', 'y'], 2, /--audience goes with --attest/],
      [[...place, '--attest', 'aws'], 2, /--attest needs --fingerprint/],
      [[...place, '--token', `@${directory}/token`], 2, /ERR_IDENTITY_BEARER/],
      [place, 2, /--token or --attest is missing/],
    ];
    for (const [words, code, message] of refusals) {
      const ran = await countersign(words);
      assert.match(ran.stderr, message);
      assert.equal(ran.code, code, ran.stderr);
    }
  });
});

test('every page of docs/provisioners is run', async () => {
  const text = await readFile(new URL(import.meta.url), 'utf8');
  for (const name of await readdir(new URL('provisioners/', docs))) {
    assert.match(text, new RegExp(`\\['${name}', |\\n {6}'${name}',`));
  }
});
