// `npm run bench`: what things cost beside the floor that cryptography sets, both measured in this run on this machine.
// Words choose rows by a part of their name: `npm run bench -- issue cut`.
import { type ApiIssuanceLoad, measureApiIssuance } from '../apps/cli/bench/api-issuance.bench.ts';
import { measureEntryToStream } from '../apps/cli/bench/entry-to-stream.bench.ts';
import { measureEphemeral } from '../apps/cli/bench/ephemeral.bench.ts';
import { measureFootprint } from '../apps/cli/bench/footprint.bench.ts';
import { measureRevokeToCut } from '../apps/cli/bench/revoke-to-cut.bench.ts';
import { measureRouterQuery } from '../apps/cli/bench/router-query.bench.ts';
import { measureSidecars, type WayFigures } from '../apps/cli/bench/sidecar.bench.ts';
import { measureStorm } from '../apps/cli/bench/storm.bench.ts';
import { measureFetch, measureStreams } from '../packages/agent/bench/workload-api.bench.ts';
import { measureAuthorize } from '../packages/authz/bench/authorize.bench.ts';
import { measureAcme, type OrderFigures } from '../packages/ca/bench/acme.bench.ts';
import { measureIssuance } from '../packages/ca/bench/issue.bench.ts';
import { measureLedger } from '../packages/ca/bench/ledger.bench.ts';
import { measureOcspServing, measureRevocation } from '../packages/ca/bench/publish.bench.ts';
import { measureVisibility, type SeenMs } from '../packages/ca/bench/visibility.bench.ts';
import { measureHandshake, measureProxiedRequest } from '../packages/gateway/bench/proxy.bench.ts';
import { measureHostile } from '../packages/router/bench/hostile.bench.ts';
import { measureCrl } from '../packages/x509/bench/crl.bench.ts';

const micros = (value: number) => `${value < 100 ? value.toFixed(1) : Math.round(value)} µs`;
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const times = (ratio: number) => `${ratio.toFixed(2)}×`;

const rows: readonly { name: string; run: () => Promise<string> }[] = [
  {
    name: 'issue, in process',
    async run() {
      const { figureMicros, floorMicros, ratio } = await measureIssuance();
      const floor = `floor ${micros(floorMicros)} (verify the request, import its key, sign)`;
      return `${micros(figureMicros)}; ${floor}; ${times(ratio)} the floor, goal 1.5×`;
    },
  },
  {
    name: 'ledger commit',
    async run() {
      return JSON.stringify(await measureLedger(), (_, value) =>
        typeof value === 'number' ? Math.round(value * 10) / 10 : value,
      );
    },
  },
  {
    name: 'issue, over the API with the durable ledger',
    run: () => overApi({ goal: 350 }),
  },
  {
    name: 'issue in batches of 100, over the API with the durable ledger',
    run: () => overApi({ goal: 180, perCall: 100, clients: 4, calls: 2 }),
  },
  {
    name: 'acme, full orders by http-01',
    async run() {
      const { ours, pebble, stepCa } = await measureAcme();
      const said = (of: OrderFigures | undefined) =>
        of === undefined
          ? 'not here'
          : `${Math.round(of.ordersPerSecond)} a second, ${micros(of.cpuMicrosEach)} of CPU each`;
      const others = `Pebble, in memory: ${said(pebble)}; step-ca: ${said(stepCa)}`;
      return `${said(ours)}, each commit synced; ${others}`;
    },
  },
  {
    name: 'start, memory and disk of an authority',
    async run() {
      const f = await measureFootprint();
      return [
        `first certificate ${Math.round(f.firstCertificateMs)} ms after the process began (middle of ${f.starts}), goal 300 ms`,
        `ready after ${Math.round(f.readyMs)} ms`,
        `after ${f.certificates} certificates ${Math.round(f.residentMb)} MB resident, goal 120 MB`,
        `${Math.round(f.diskBytesEach)} bytes of disk a certificate, goal 1500; ${Math.round(f.diskBytesEachAtRest)} at rest`,
      ].join('; ');
    },
  },
  {
    name: 'authorize, a permit under 1 and under 20 rules',
    async run() {
      const [one, twenty] = [measureAuthorize(1), measureAuthorize(20)];
      return [
        `${Math.round(one.figureNanos)} ns, ${times(one.ratio)} the same decision written by hand`,
        `${Math.round(twenty.figureNanos)} ns under 20`,
        `${Math.round(one.bytesEach)} bytes each`,
      ].join('; ');
    },
  },
  {
    name: 'ocsp, over HTTP',
    async run() {
      const f = await measureOcspServing();
      return [
        `${micros(f.memoryGetMicros)} of the server's CPU a GET from memory, goal 35 µs`,
        `${micros(f.memoryPostMicros)} a POST`,
        `${micros(f.demandMicros)} signed on demand, goal 90 µs`,
        `a bare Node server ${micros(f.bareMicros)} a GET`,
      ].join('; ');
    },
  },
  { name: 'revocation, 10,000 revoked', run: () => revocation(10_000) },
  { name: 'revocation, 1,000,000 revoked', run: () => revocation(1_000_000) },
  {
    name: 'revocation, seen by two replicas over PostgreSQL',
    async run() {
      const f = await measureVisibility();
      if ('skip' in f) return `skipped: ${f.skip}`;
      const seen = ({ ocsp, feed, crl }: SeenMs) =>
        `OCSP ${ocsp.toFixed(1)} ms, feed ${feed.toFixed(1)} ms, CRL ${Math.round(crl)} ms`;
      return [
        `the slowest of ${f.revocations}, after the answer: where it was taken ${seen(f.here)}, goal 10 ms`,
        `on the other ${seen(f.there)}, goal 250 ms; CRL goal 1000 ms`,
      ].join('; ');
    },
  },
  {
    name: 'crl of a million entries',
    async run() {
      const f = await measureCrl();
      return [
        `built and signed in ${Math.round(f.buildMillis)} ms`,
        `floor ${Math.round(f.floorMillis)} ms (hash the same bytes, sign); ${times(f.buildMillis / f.floorMillis)} the floor`,
        `one entry more ${Math.round(f.rebuildMillis)} ms, read in ${Math.round(f.parseMillis)} ms`,
        `look-up ${f.lookupMicros.toFixed(2)} µs, miss ${f.missMicros.toFixed(2)} µs`,
      ].join('; ');
    },
  },
  { name: 'full handshake', run: async () => proxied(await measureHandshake()) },
  {
    name: 'proxied request, keep-alive',
    run: async () => proxied(await measureProxiedRequest()),
  },
  {
    name: 'pair of sidecars',
    async run() {
      const { perSecond, direct, sidecars, library } = await measureSidecars();
      const way = ({ p50Micros, p99Micros, cpuMicros }: WayFigures) =>
        `p50 ${micros(p50Micros)}, p99 ${micros(p99Micros)}${cpuMicros === undefined ? '' : `, ${micros(cpuMicros)} of CPU between`}`;
      return [
        `${way(sidecars)} at ${perSecond} requests a second`,
        `direct: ${way(direct)}`,
        `identity library in both programs: ${way(library)}`,
      ].join('; ');
    },
  },
  {
    name: 'workload api fetch',
    async run() {
      const { agent, bare, grpc, middleMicros, p50Ms, p99Ms } = await measureFetch();
      const ratio = times(agent.connectedMicros / bare.connectedMicros);
      return [
        `${micros(agent.connectedMicros)} of the agent's CPU a fetch with a connection of its own, goal 300 µs`,
        `middle round ${micros(middleMicros)}`,
        `floor ${micros(bare.connectedMicros)} (a bare HTTP/2 server of Node, asking nobody who they are); ${ratio} the floor`,
        `over an open one ${micros(agent.openMicros)}, floor ${micros(bare.openMicros)}`,
        `a server of grpc-js that does no more ${micros(grpc.connectedMicros)} and ${micros(grpc.openMicros)}`,
        `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`,
      ].join('; ');
    },
  },
  {
    name: 'workload api, 1,000 open streams',
    async run() {
      const f = await measureStreams(1000);
      return [
        `every one has its new SVID ${Math.round(f.allMs)} ms after the order to renew (p50 ${Math.round(f.p50Ms)} ms), goal 1000 ms`,
        `${Math.round(f.rssMegabytes)} MB in memory, goal 200 MB`,
      ].join('; ');
    },
  },
  {
    name: 'entry to open stream',
    async run() {
      const f = await measureEntryToStream();
      return [
        `a new entry is on the stream with its SVID after ${f.madeP50Ms.toFixed(1)} ms (p50)`,
        `${f.madeMostMs.toFixed(1)} ms at most of ${f.rounds}, goal 200 ms`,
        `a deleted one is off it after ${f.deletedP50Ms.toFixed(1)} ms`,
        `${f.deletedMostMs.toFixed(1)} ms at most`,
      ].join('; ');
    },
  },
  { name: 'ephemeral, from a token to the first request', run: () => ephemeral(false) },
  { name: 'ephemeral, with the roots beside the code', run: () => ephemeral(true) },
  {
    name: 'storm, 100,000 workloads renew after an outage',
    async run() {
      const f = await measureStorm();
      return [
        `${f.lapsed} lapsed, ${f.unfinished} unfinished and ${f.failed} answered wrongly or not, of ${f.workloads}, goal 0`,
        `${f.behindAgents} of them behind ${f.agents} agents; all renewed after ${Math.round(f.allSeconds)} s`,
        `${f.sentAway} times sent away with Retry-After, one of them ${f.mostOfOne} times at most`,
        `p50 ${seconds(f.p50Ms)}, p99 ${seconds(f.p99Ms)} from the first attempt to the certificate`,
        `p99 ${seconds(f.hastyP99Ms)} where the one before ended soon`,
        `${micros(f.cpuMicros)} of the authority's CPU a renewal, handshakes and refusals included`,
      ].join('; ');
    },
  },
  {
    name: 'revoke to cut',
    async run() {
      const f = await measureRevokeToCut();
      return [
        `p50 ${f.p50Ms.toFixed(1)} ms, p99 ${f.p99Ms.toFixed(1)} ms from asking to a closed socket`,
        `${f.connections} open connections, half of them cut`,
        `in all ${f.cut} cut, ${f.unharmed} unharmed`,
        `acknowledged ${f.acknowledgedMs.toFixed(1)} ms after the append`,
      ].join('; ');
    },
  },
  {
    name: 'router, a query over mTLS',
    async run() {
      const { ours, traced, hive } = await measureRouterQuery();
      const cpu = (value: number | undefined) => (value === undefined ? '–' : micros(value));
      const beside =
        hive.three === undefined
          ? 'Hive runtime not installed, .ci/foreign-tools does'
          : `Hive runtime ${cpu(hive.three)} / ${cpu(hive.one)}`;
      const spans = `with spans ${cpu(traced.three)} / ${cpu(traced.one)}`;
      return `${cpu(ours.three)} of router CPU with three fetches / ${cpu(ours.one)} with one; ${spans}; ${beside}`;
    },
  },
  {
    name: 'router, hostile queries',
    async run() {
      const all = (await measureHostile()).map(
        ({ what, figureMicros, floorMicros }) =>
          `${what} ${micros(figureMicros)}, its JSON alone ${micros(floorMicros)}`,
      );
      return `goal 1000 µs each before refusal, the last apart, which is within the limits: ${all.join('; ')}`;
    },
  },
];

const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const chosen = rows.filter(
  ({ name }) => words.length === 0 || words.some((word) => name.includes(word)),
);
if (chosen.length === 0) {
  console.error(
    `no row with "${words.join('" or "')}" in its name; there are: ${rows.map(({ name }) => name).join('; ')}`,
  );
  process.exit(2);
}
for (const { name, run } of chosen) {
  process.stdout.write(`${name}: `);
  console.log(await run());
}

async function overApi({ goal, ...load }: ApiIssuanceLoad & { goal: number }): Promise<string> {
  const f = await measureApiIssuance(load);
  return [
    `${micros(f.serverCpuMicros)} of the authority's CPU a certificate (best round; middle ${micros(f.medianMicros)}), goal ${goal} µs`,
    byThread(f.threads),
    `floor ${micros(f.floorMicros)}; ${times(f.ratio)} the floor`,
    `a bare Node server, same cryptography and rows ${micros(f.bareMicros)} (middle ${micros(f.bareMedianMicros)})`,
    `${byThread(f.bareThreads)}; ${times(f.serverCpuMicros / f.bareMicros)} that`,
    `${Math.round(f.certificatesPerSecond)} a second`,
    `p50 ${f.p50Ms.toFixed(1)} ms, p99 ${f.p99Ms.toFixed(1)} ms a call`,
  ].join('; ');
}

function byThread(threads: readonly (readonly [name: string, micros: number])[]): string {
  return threads.map(([name, each]) => `${name} ${Math.round(each)}`).join(', ');
}

async function ephemeral(withRoots: boolean): Promise<string> {
  const f = await measureEphemeral(withRoots);
  return [
    `first mTLS request answered ${f.firstRequestMs.toFixed(1)} ms after the call, goal 50 ms`,
    `middle of ${f.instances} new processes, best ${f.bestMs.toFixed(1)} ms`,
    `enrolled after ${f.enrolledMs.toFixed(1)} ms; ${f.cpuMs.toFixed(1)} ms of CPU of its main thread`,
    `floor ${f.floorMs.toFixed(1)} ms (a key and two handshakes, code loaded); ${times(f.firstRequestMs / f.floorMs)} the floor`,
  ].join('; ');
}

async function revocation(revoked: number): Promise<string> {
  const f = await measureRevocation(revoked);
  return [
    `${micros(f.micros)} of CPU, lists included, goal 1000 µs`,
    `in OCSP ${f.visibleMs.toFixed(1)} ms after the append (p99), goal 10 ms`,
    `all of them read at a start in ${Math.round(f.loadMs)} ms`,
  ].join('; ');
}

function proxied(f: Awaited<ReturnType<typeof measureHandshake>>): string {
  return [
    `${micros(f.figureMicros)} of the gateway's CPU`,
    `floor ${micros(f.floorMicros)} (the cryptography alone); ${times(f.ratio)} the floor`,
    `a bare Node server ${micros(f.bareMicros)}; ${times(f.figureMicros / f.bareMicros)} that`,
  ].join('; ');
}
