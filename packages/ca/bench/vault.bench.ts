import { pathToFileURL } from 'node:url';
import { buildCertificateRequest, encodePem, generateKeyPair, keySigner } from '@countersign/x509';
import { VaultWorld } from '../test/vault-under-test.ts';

export interface VaultFigures {
  /** The same certificate, ordered from the authority itself. */
  readonly floorMicros: number;
  /** `sign/:role` with a token whose policy lets it: from the request's head to the answer's last octet, without HTTP. */
  readonly figureMicros: number;
  readonly ratio: number;
}

const requests = 100;
const rounds = 30;

/** What Vault's protocol costs over the flow behind it; both in turns in one run, the best of the rounds. */
export async function measureVault(): Promise<VaultFigures> {
  const world = await VaultWorld.start();
  await world.must('POST', 'pki/roles/web', { allow_any_name: true, key_type: 'ec' });
  const token = await world.tokenFor('path "pki/sign/web" { capabilities = ["update"] }');
  const floors: number[] = [];
  const figures: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const csrs = await Promise.all(Array.from({ length: requests * 2 }, makeRequest));
    let start = performance.now();
    for (const csr of csrs.slice(0, requests)) {
      const issued = await world.authority.issue({ csr, dns: ['a.example.test'] });
      if (!issued.ok) throw new Error(issued.detail);
    }
    floors.push(performance.now() - start);

    const asked = csrs.slice(requests).map((csr) => ({
      csr: encodePem('CERTIFICATE REQUEST', csr),
      common_name: 'a.example.test',
      ttl: '1h',
    }));
    start = performance.now();
    for (const body of asked) await world.must('POST', 'pki/sign/web', body, { token });
    figures.push(performance.now() - start);
  }
  await world.close();
  const floorMicros = (Math.min(...floors) * 1000) / requests;
  const figureMicros = (Math.min(...figures) * 1000) / requests;
  return { floorMicros, figureMicros, ratio: figureMicros / floorMicros };
}

async function makeRequest(): Promise<Uint8Array> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  return await buildCertificateRequest({ signer: keySigner(privateKey) });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { floorMicros, figureMicros, ratio } = await measureVault();
  const [figure, floor] = [figureMicros.toFixed(0), floorMicros.toFixed(0)];
  console.log(
    `signing by Vault's API ${figure} µs, by the authority ${floor} µs, ratio ${ratio.toFixed(2)}`,
  );
}
