import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodePem, encodePrivateKey, fingerprintOf } from '@countersign/x509';
import { freePort } from './free-port.ts';
import { testCa } from './test-ca.ts';

const program = join(homedir(), '.cache/countersign-foreign/bin/step-ca');
const example = join(
  process.env.GOPATH ?? join(homedir(), 'go'),
  'pkg/mod/github.com/smallstep/certificates@v0.30.2/examples/pki/config/ca.json',
);

export function stepCaMissing(): string | false {
  return existsSync(program) ? false : 'no step-ca (run .ci/foreign-tools)';
}

export interface StepCaServer {
  readonly url: string;
  readonly pid: number;
  readonly fingerprint: string;
  readonly rootFile: string;
  readonly directory: string;
  /** A private JWK of the provisioner `payments`. */
  readonly keyFile: string;
  /** The encrypted key of step-ca's own example, of the provisioner `example`; undefined where its source is not there. */
  readonly exampleKeyFile: string | undefined;
  stop(): Promise<void>;
}

/** A real step-ca with JWK provisioners and an ACME one, on a port of its own. @param acme options of how it validates */
export async function startStepCa(acme: readonly string[] = []): Promise<StepCaServer> {
  const directory = await mkdtemp(join(tmpdir(), 'step-ca-'));
  const file = (name: string) => join(directory, name);
  const ca = testCa({ name: 'step root' });
  const issuing = ca.intermediate();
  await writeFile(file('root.pem'), ca.rootPem);
  await writeFile(file('issuing.pem'), encodePem('CERTIFICATE', issuing.certificate.raw));
  await writeFile(file('issuing.key'), encodePrivateKey(issuing.privateKey), { mode: 0o600 });
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const about = { kid: 'payments-1', use: 'sig', alg: 'ES256' };
  await writeFile(
    file('provisioner.jwk'),
    JSON.stringify({ ...privateKey.export({ format: 'jwk' }), ...about }),
    { mode: 0o600 },
  );
  const key = { ...publicKey.export({ format: 'jwk' }), ...about };
  const others = await exampleProvisioner(file('example.jwe'));
  const port = await freePort();
  const config = {
    ...{ root: file('root.pem'), crt: file('issuing.pem'), key: file('issuing.key') },
    ...{ address: `127.0.0.1:${port}`, dnsNames: ['localhost', '127.0.0.1'] },
    db: { type: 'badgerv2', dataSource: file('db') },
    authority: {
      policy: {
        x509: {
          allow: {
            uri: ['example.com'],
            dns: ['*.example.com', '*.orders.test', 'localhost'],
            ip: ['127.0.0.1'],
          },
        },
      },
      provisioners: [
        { type: 'JWK', name: 'payments', key },
        { type: 'ACME', name: 'acme' },
        ...others,
      ],
    },
  };
  await writeFile(file('ca.json'), JSON.stringify(config));
  const child = spawn(program, [...acme, file('ca.json')], { stdio: ['ignore', 'pipe', 'pipe'] });
  await untilItServes(child);
  return {
    pid: child.pid ?? 0,
    ...{ url: `https://127.0.0.1:${port}`, fingerprint: fingerprintOf(ca.root), directory },
    ...{ rootFile: file('root.pem'), keyFile: file('provisioner.jwk') },
    exampleKeyFile: others.length === 0 ? undefined : file('example.jwe'),
    async stop() {
      child.kill('SIGKILL');
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function exampleProvisioner(keyFile: string) {
  try {
    const { authority } = JSON.parse(await readFile(example, 'utf8'));
    const [{ key, encryptedKey }] = authority.provisioners;
    await writeFile(keyFile, encryptedKey);
    return [{ type: 'JWK', name: 'example', key }];
  } catch {
    return [];
  }
}

async function untilItServes(child: ChildProcess): Promise<void> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer) => {
      said += String(chunk);
      if (said.includes('Serving HTTPS')) resolve();
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', hear);
    child.once('exit', () => reject(new Error(`step-ca ended: ${said}`)));
  });
}
