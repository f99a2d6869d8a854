import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type CountersignError, noLog, noMeter, systemClock } from '@countersign/base';
import { testCa } from '@countersign/testkit';
import { formatGeneralName } from '@countersign/x509';
import { httpsAgent, liveIdentity, proveIdentity, readIdentity, secureServer } from '../index.ts';
import type { CertificateNames, Issuer, RootsSource } from './issuer.ts';
import { rootsOfFile } from './issuer-files.ts';
import { type OpenIssuedOptions, openIssued } from './open-issued.ts';

/** An issuer and what it admits, as one of the suite's implementations. */
export interface IssuerWorld {
  issuer(): Issuer;
  /** The same where nobody listens. */
  away(): Issuer;
  readonly names: CertificateNames & { readonly spiffeId: string };
  /** Names that it refuses, and what its refusal says. */
  readonly refused: CertificateNames & { readonly spiffeId: string };
  readonly refusal: RegExp;
  /** What is configured; absent where its answers name its roots. */
  readonly roots?: RootsSource;
}

/** What every issuer must do, whoever made it. */
export function issuerSuite(
  title: string,
  open: () => Promise<IssuerWorld>,
  options: { readonly skip?: string | false } = {},
): void {
  let world: Promise<IssuerWorld> | undefined;
  const begin = async (t: TestContext, more: Partial<OpenIssuedOptions> = {}) => {
    world ??= open();
    const { issuer, names, roots } = await world;
    const live = await openIssued({
      ...{ issuer: issuer(), names, clock: systemClock, log: noLog, meter: noMeter },
      ...(roots === undefined ? {} : { roots }),
      ...more,
    });
    t.after(() => live.stop());
    return live;
  };
  const named = (text: string, work: (t: TestContext) => Promise<void>) =>
    test(`${title}: ${text}`, { skip: options.skip ?? false }, work);

  named('a first identity has the names that were asked for, and leads to its root', async (t) => {
    const live = await begin(t);
    const { names } = await (world as Promise<IssuerWorld>);
    const { svid } = live.identity;
    assert.equal(svid.spiffeId.toString(), names.spiffeId);
    const found = svid.leaf.subjectAltNames.filter(({ kind }) => kind === 'dns');
    assert.deepEqual(
      found.map(formatGeneralName),
      names.dns.map((each) => `dns:${each}`),
    );
    assert.equal(proveIdentity(live.identity, systemClock.now()).ok, true);
  });

  named('a renewal reaches what an adapter holds, and nobody is refused', async (t) => {
    const live = await begin(t);
    const me = liveIdentity(live);
    const http = createServer((_, response) => response.end('ok'));
    const server = secureServer(me, http);
    const { port } = await server.listen(0);
    t.after(async () => {
      http.close();
      await server.close(0);
    });
    const agent = httpsAgent(me, { verifyHostname: false });
    const before = await serialServed(port, agent);
    assert.equal(before, live.svid().serialHex);
    let told = 0;
    live.onChange(() => {
      told += 1;
    });
    await live.renewNow();
    assert.equal(told, 1);
    const after = await serialServed(port, agent);
    assert.notEqual(after, before);
    assert.equal(after, live.svid().serialHex);
  });

  named('a refusal is an error with the words of the issuer', async (t) => {
    world ??= open();
    const { refused, refusal } = await world;
    await assert.rejects(begin(t, { names: refused }), (thrown: CountersignError) => {
      assert.equal(thrown.code, 'ERR_ISSUER_REFUSED', thrown.message);
      assert.match(thrown.message, refusal);
      return true;
    });
  });

  named('while it is away what there is stays, and it is asked again', async (t) => {
    world ??= open();
    const { issuer, away } = await world;
    const [there, gone] = [issuer(), away()];
    let isAway = false;
    const moody: Issuer = {
      ...there,
      issue: (order) => (isAway ? gone : there).issue(order),
      close: () => [there, gone].map((each) => each.close?.()),
    };
    const live = await begin(t, { issuer: moody });
    const { serialHex } = live.svid();
    isAway = true;
    await assert.rejects(live.renewNow(), { code: 'ERR_ISSUER_UNREACHABLE' });
    assert.equal(live.svid().serialHex, serialHex);
    assert.equal(live.stats().lastError?.code, 'ERR_ISSUER_UNREACHABLE');
    isAway = false;
    await live.renewNow();
    assert.notEqual(live.svid().serialHex, serialHex);
  });

  named('a restart goes on with what was kept, though the issuer is away', async (t) => {
    const directory = await directoryFor(t);
    const first = await begin(t, { directory });
    await first.stop();
    const { away } = await (world as Promise<IssuerWorld>);
    const second = await begin(t, { directory, issuer: away() });
    assert.equal(second.svid().serialHex, first.svid().serialHex);
  });

  named(
    'what does not lead to the configured root is refused, and nothing is written',
    async (t) => {
      const directory = await directoryFor(t);
      const other = join(await directoryFor(t), '..', 'other.pem');
      await writeFile(other, testCa().rootPem);
      const asked = begin(t, { directory, roots: rootsOfFile(other) });
      await assert.rejects(asked, (thrown: CountersignError) => {
        assert.equal(thrown.code, 'ERR_ISSUER_ROOT');
        assert.match(thrown.message, /its chain ends with [0-9a-f]{64}, trusted are [0-9a-f]{64}/);
        return true;
      });
      await assert.rejects(readIdentity(directory), { code: 'ERR_IDENTITY_FILES' });
    },
  );

  named('other names than those that are kept are ordered anew', async (t) => {
    const directory = await directoryFor(t);
    const first = await begin(t, { directory });
    await first.stop();
    const { names } = await (world as Promise<IssuerWorld>);
    const wanted = { ...names, dns: [] };
    const second = await begin(t, { directory, names: wanted }).catch((thrown: unknown) => {
      // An issuer may have no certificate without a DNS name.
      assert.match((thrown as CountersignError).code, /^ERR_ISSUER_(REFUSED|CONFIG)$/);
    });
    if (second !== undefined) assert.notEqual(second.svid().serialHex, first.svid().serialHex);
  });
}

export async function directoryFor(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'issued-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'identity');
}

async function serialServed(port: number, agent: ReturnType<typeof httpsAgent>): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, agent }, (response) => {
      const socket = response.socket as import('node:tls').TLSSocket;
      const { serialNumber } = socket.getPeerCertificate();
      response.resume().once('end', () => resolve(serialNumber.toLowerCase()));
    });
    asked.once('error', reject);
    asked.end();
  });
}
