import { createPublicKey, sign, verify } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { systemClock } from '@countersign/base';
import {
  buildCertificateRequest,
  generateKeyPair,
  keySigner,
  parseCertificateRequest,
} from '@countersign/x509';
import { ephemeralAuthority, parseCaConfig } from '../src/index.ts';

export interface IssuanceFigures {
  /** Verify the request's signature, import its key, sign as many bytes: what OpenSSL alone takes. */
  readonly floorMicros: number;
  /** One certificate through the whole flow, with a memory ledger. */
  readonly figureMicros: number;
  readonly ratio: number;
}

const requests = 400;
const rounds = 9;

/** Issuance in process against its crypto floor; both in turns in one run, the median of the rounds. */
export async function measureIssuance(): Promise<IssuanceFigures> {
  const config = parseCaConfig(configText, 'bench.yaml');
  const authority = await ephemeralAuthority({ config, clock: systemClock });
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const floors: number[] = [];
  const figures: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    // New keys each round: a key that was seen before costs no import.
    const csrs = await Promise.all(Array.from({ length: requests }, makeRequest));
    const parsed = csrs.map((csr) => parseCertificateRequest(csr));
    const data = new Uint8Array(480);

    let start = threadMicros() / 1000;
    for (const { spki, tbs, signature } of parsed) {
      const key = createPublicKey({ key: Buffer.from(spki.raw), format: 'der', type: 'spki' });
      if (!verify('sha256', tbs, key, signature)) throw new Error('a request does not verify');
      sign('sha256', data, privateKey);
    }
    floors.push(threadMicros() / 1000 - start);

    start = threadMicros() / 1000;
    for (const csr of csrs) {
      const issued = await authority.issue({
        csr,
        spiffeId: 'spiffe://example.com/ns/prod/sa/payments',
        dns: ['payments.prod.internal'],
      });
      if (!issued.ok) throw new Error(issued.detail);
    }
    figures.push(threadMicros() / 1000 - start);
  }
  await authority.close();
  const floorMicros = (median(floors) * 1000) / requests;
  const figureMicros = (median(figures) * 1000) / requests;
  return { floorMicros, figureMicros, ratio: figureMicros / floorMicros };
}

async function makeRequest(): Promise<Uint8Array> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  return await buildCertificateRequest({ signer: keySigner(privateKey) });
}

/** CPU time of this thread: other work on the machine stretches the wall clock, not this. */
function threadMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

const configText = `
ca:
  intermediate:
    production:
      nameConstraints: { permitted: [prod.internal] }
service_certificates:
  san_policies:
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ["*.prod.internal"]
`;

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { floorMicros, figureMicros, ratio } = await measureIssuance();
  console.log(
    `issuance in process ${figureMicros.toFixed(0)} µs, floor ${floorMicros.toFixed(0)} µs, ratio ${ratio.toFixed(2)}`,
  );
}
