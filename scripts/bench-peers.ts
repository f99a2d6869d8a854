// `npm run bench:peers`: Countersign's gateway beside the proxies that this machine has, all in one run, each with the same
// work to do. `-o json` for programs, `--quick` for a look with few rounds.
import { measurePeers, type Peer, type PeersOptions } from '../apps/cli/bench/peers/peers.bench.ts';

const words = process.argv.slice(2);
const known = new Set(['--quick', '-o', 'json']);
const odd = words.find((word) => !known.has(word));
if (odd !== undefined) {
  console.error(`no option "${odd}"; there are: --quick, -o json`);
  process.exit(2);
}
const tell = (progress: string) => process.stderr.write(`${progress}\n`);
const sizes: Omit<PeersOptions, 'tell'> = words.includes('--quick')
  ? { rounds: 1, handshakes: 100, requests: 2000, idle: 200 }
  : { rounds: 5, handshakes: 400, requests: 10_000, idle: 1000 };
const peers = await measurePeers({ ...sizes, tell });
if (words.includes('json')) console.log(JSON.stringify(peers, undefined, 2));
else for (const line of tables(peers)) console.log(line);

function tables(all: readonly Peer[]): string[] {
  const bare = all.find(({ name }) => name === 'bare Node proxy')?.figures;
  const beside = (value: number, of: number | undefined) =>
    of === undefined
      ? Math.round(value).toString()
      : `${Math.round(value)} (${(value / of).toFixed(2)}×)`;
  return [
    'µs of the proxy’s CPU; in brackets, to the bare Node proxy of this run',
    '',
    '| | full | resumed | kept alive | p50 µs | p99 µs | KiB an idle connection |',
    '|---|---|---|---|---|---|---|',
    ...all.flatMap(({ name, figures: f, missing }) => {
      if (missing !== undefined) return [`| ${name} | ${missing} | | | | | |`];
      if (f === undefined) return [];
      const resumed = f.resumed < 0.5 ? ' (not resumed)' : '';
      const cells = [
        beside(f.fullMicros, bare?.fullMicros),
        beside(f.resumedMicros, bare?.resumedMicros) + resumed,
        beside(f.keptMicros, bare?.keptMicros),
        beside(f.latency.p50Micros, bare?.latency.p50Micros),
        beside(f.latency.p99Micros, bare?.latency.p99Micros),
        beside(f.idleKib, bare?.idleKib),
      ];
      return [`| ${name} | ${cells.join(' | ')} |`];
    }),
    '',
    'after a list that revokes one of two callers with the same names',
    '',
    '| | taken up by | its open connection | its session | its twin’s connection | its twin’s session | refused anew after |',
    '|---|---|---|---|---|---|---|',
    ...all.flatMap(({ name, revocation: r }) => {
      if (r === undefined) return [];
      const after = r.appliedMs === undefined ? 'never' : `${Math.round(r.appliedMs)} ms`;
      const cells = [
        r.reloadedBy,
        r.revoked.live,
        r.revoked.resumed,
        r.innocent.live,
        r.innocent.resumed,
        after,
      ];
      return [`| ${name} | ${cells.join(' | ')} |`];
    }),
  ];
}
