import type { WrittenSidecar } from './sidecar-schema.ts';

export interface RedirectRules {
  /** Where what the application connects to is sent; absent: it is left alone. */
  readonly outbound: { readonly port: number; readonly ipv6: boolean } | undefined;
  /** What comes from other machines for the application's port, and where it is sent. */
  readonly inbound: readonly { readonly port: number; readonly to: number }[];
  /** The user that the sidecar runs as: its own connections are not caught, or they would go round and round. */
  readonly uid: number;
}

export type RulesFormat = 'iptables' | 'nftables';

/** What applies the rules, and what takes them away: each a program, its arguments, and its standard input. */
export interface RulesScript {
  readonly apply: readonly RulesStep[];
  readonly remove: readonly RulesStep[];
}

export interface RulesStep {
  readonly command: readonly [string, ...string[]];
  readonly input: string;
}

/** What sidecar.yaml asks the kernel to do. */
export function redirectRulesOf(
  { outbound, inbound }: Pick<WrittenSidecar, 'outbound' | 'inbound'>,
  uid: number,
): RedirectRules {
  return {
    outbound: outbound.redirect,
    inbound: inbound
      .filter(({ redirect }) => redirect)
      .map(({ port, listen }) => ({ port, to: listen.port })),
    uid,
  };
}

export const rulesScripts: Readonly<Record<RulesFormat, (rules: RedirectRules) => RulesScript>> = {
  iptables: iptablesScript,
  nftables: nftablesScript,
};

/** As a shell would be told. */
export function formatScript(steps: readonly RulesStep[]): string {
  return steps
    .map(({ command, input }) =>
      input === '' ? `${command.join(' ')}\n` : `${command.join(' ')} <<'EOF'\n${input}EOF\n`,
    )
    .join('');
}

const table = 'countersign_sidecar';

/** A table of our own, made anew in one transaction: applied twice it is there once, and nobody else's is touched. */
function nftablesScript({ outbound, inbound, uid }: RedirectRules): RulesScript {
  const catches =
    outbound === undefined
      ? []
      : [
          '  chain output {',
          '    type nat hook output priority -100; policy accept;',
          `    meta skuid ${uid} return`,
          '    oifname "lo" return',
          '    fib daddr type local return',
          ...(outbound.ipv6 ? [] : ['    meta nfproto ipv6 return']),
          `    meta l4proto tcp redirect to :${outbound.port}`,
          '  }',
        ];
  const takes =
    inbound.length === 0
      ? []
      : [
          '  chain prerouting {',
          '    type nat hook prerouting priority -100; policy accept;',
          ...inbound.map(
            ({ port, to }) => `    fib daddr type local tcp dport ${port} redirect to :${to}`,
          ),
          '  }',
        ];
  const none = `table inet ${table}\ndelete table inet ${table}\n`;
  const body = [`table inet ${table} {`, ...catches, ...takes, '}', ''].join('\n');
  const command = ['nft', '-f', '-'] as const;
  return {
    apply: [{ command, input: `${none}${body}` }],
    remove: [{ command, input: none }],
  };
}

const outputChain = 'COUNTERSIGN_OUTPUT';
const inputChain = 'COUNTERSIGN_INBOUND';

/**
 * Chains of our own, of which each is flushed and filled in one transaction; the jumps to them are made where they are
 * not there yet.
 */
function iptablesScript(rules: RedirectRules): RulesScript {
  const versions = [
    { program: 'iptables', loopback: '127.0.0.0/8', isUsed: true },
    { program: 'ip6tables', loopback: '::1/128', isUsed: rules.outbound?.ipv6 ?? true },
  ].filter(({ isUsed }) => isUsed);
  return {
    apply: versions.flatMap(({ program, loopback }) => [
      { command: [`${program}-restore`, '--noflush', '--wait'], input: chainsOf(rules, loopback) },
      ...jumpsOf(rules).map((jump) =>
        shell(`${program} -w -t nat -C ${jump} 2>/dev/null || ${program} -w -t nat -A ${jump}`),
      ),
    ]),
    remove: versions.flatMap(({ program }) => [
      ...[`OUTPUT -p tcp -j ${outputChain}`, `PREROUTING -p tcp -j ${inputChain}`].map((jump) =>
        shell(`while ${program} -w -t nat -D ${jump} 2>/dev/null; do :; done`),
      ),
      ...[outputChain, inputChain].map((chain) =>
        shell(
          `if ${program} -w -t nat -F ${chain} 2>/dev/null; then ${program} -w -t nat -X ${chain}; fi`,
        ),
      ),
    ]),
  };
}

function jumpsOf({ outbound, inbound }: RedirectRules): string[] {
  return [
    ...(outbound === undefined ? [] : [`OUTPUT -p tcp -j ${outputChain}`]),
    ...(inbound.length === 0 ? [] : [`PREROUTING -p tcp -j ${inputChain}`]),
  ];
}

function chainsOf({ outbound, inbound, uid }: RedirectRules, loopback: string): string {
  const catches =
    outbound === undefined
      ? []
      : [
          `-A ${outputChain} -m owner --uid-owner ${uid} -j RETURN`,
          `-A ${outputChain} -o lo -j RETURN`,
          `-A ${outputChain} -d ${loopback} -j RETURN`,
          `-A ${outputChain} -m addrtype --dst-type LOCAL -j RETURN`,
          `-A ${outputChain} -p tcp -j REDIRECT --to-ports ${outbound.port}`,
        ];
  const takes = inbound.map(
    ({ port, to }) =>
      `-A ${inputChain} -p tcp -m addrtype --dst-type LOCAL --dport ${port} -j REDIRECT --to-ports ${to}`,
  );
  // A chain that is declared is flushed, under --noflush too.
  const declared = [`:${outputChain} - [0:0]`, `:${inputChain} - [0:0]`];
  return ['*nat', ...declared, ...catches, ...takes, 'COMMIT', ''].join('\n');
}

function shell(text: string): RulesStep {
  return { command: ['sh', '-c', `'${text}'`], input: '' };
}
