import { connect, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  errorOfDenial,
  type Log,
  messageOf,
} from '@countersign/base';
import type { Session } from '../session.ts';
import { splice } from '../splice.ts';
import { wrongWithAddress } from './guard-destination.ts';
import type { OriginalDestination } from './original-destination.ts';
import type { CalledHost, OutboundDestination } from './outbound-model.ts';
import type { OutboundRegistry } from './outbound-registry.ts';

export interface OutboundWaysOptions {
  /** In force now. */
  readonly registry: () => OutboundRegistry;
  /** Absent where nothing is redirected. */
  readonly originalDestination: OriginalDestination | undefined;
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** Every address of this machine. */
  readonly ownAddresses: () => ReadonlySet<string>;
  readonly onHttp: (session: Session) => void;
  readonly onTunnel: (session: Session, cluster: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

const connectTimeoutMs = 10_000;
export const outboundIdleMs = 3_600_000;

/** Where connections of the application go that name no port of ours: found out, and passed on or refused. */
export class OutboundWays {
  readonly #options: OutboundWaysOptions;

  constructor(options: OutboundWaysOptions) {
    this.#options = options;
  }

  /** A connection that the kernel sent here instead. */
  takeRedirected(session: Session): void {
    const { registry, log, onHttp, onTunnel, clock } = this.#options;
    const { socket } = session.live;
    const going = this.#destinationOf(session);
    if (!going.ok) return void this.#refuse(session, going);
    const found = registry().byAddress(going.address, going.port);
    if (found !== undefined) {
      session.goes(found);
      return void (found.protocol === 'http' ? onHttp(session) : onTunnel(session, found.name));
    }
    const to = { host: going.address, port: going.port };
    if (registry().model.policy === 'REGISTRY_ONLY') return void this.#refuse(session, unknown(to));
    log.debug(to, 'destination that is not configured, passed on in the clear');
    this.openUnknown(to, socket).then(
      (upstream) => void splice(socket, upstream, { idleMs: outboundIdleMs, clock }),
      (thrown) => {
        log.warn({ ...to, reason: messageOf(thrown) }, 'not passed on');
        socket.destroy();
      },
    );
  }

  /** Of a name that is asked for; a refusal where there is none, and what is unknown is refused. */
  find(called: CalledHost): OutboundDestination | 'unknown' | Denial {
    const registry = this.#options.registry();
    const found = registry.byHost(called.host, called.port);
    if (found !== undefined) return found;
    return registry.model.policy === 'ALLOW_ANY' ? 'unknown' : unknown(called);
  }

  /**
   * A plain connection to where no configuration says anything about. The address is judged, and then dialled as such:
   * a name cannot mean something else the second time.
   *
   * @throws CountersignError ERR_SIDECAR_GUARDED, ERR_DIAL_*
   */
  async openUnknown({ host, port }: CalledHost, client: Pick<Duplex, 'once'>): Promise<Socket> {
    const { resolve, ownAddresses } = this.#options;
    const attempted = `connect to "${host}:${port}"`;
    const addresses = isIP(host) === 0 ? await resolve(host).catch(unreachable) : [host];
    function unreachable(thrown: unknown): never {
      const reason = `${attempted}: ${messageOf(thrown)}`;
      throw new CountersignError('ERR_DIAL_UNREACHABLE', reason, { cause: thrown });
    }
    const own = ownAddresses();
    const wrong = addresses.map((each) => wrongWithAddress(each, own)).find(Boolean);
    if (wrong !== undefined) throw errorOfDenial(wrong, attempted);
    const [address] = addresses;
    if (address === undefined) return unreachable(new Error('it has no address'));
    return dial(address, port, attempted, client);
  }

  #destinationOf(session: Session) {
    const { originalDestination } = this.#options;
    const { socket, facts } = session.live;
    const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } };
    const family = isIP(facts.localAddress) === 6 ? 6 : 4;
    const fd = handle?.fd ?? -1;
    const found = fd < 0 ? undefined : originalDestination?.(fd, family);
    const isOurs = found?.address === facts.localAddress && found.port === facts.localPort;
    // Whoever connects here by himself would be sent round and round.
    if (found !== undefined && !isOurs) return { ok: true as const, ...found };
    const detail = 'connection to the redirect port itself, it was not redirected';
    return denial('ERR_SIDECAR_DESTINATION', detail, { port: facts.localPort });
  }

  #refuse(session: Session, refused: Denial): void {
    const { live } = session;
    const line = { listener: live.facts.name, code: refused.code, ...refused.fields };
    this.#options.log.warn(line, `refused: ${refused.detail}`);
    live.socket.destroy();
  }
}

function unknown({ host, port }: CalledHost): Denial {
  const detail = `"${host}:${port}" is no destination of the configuration (REGISTRY_ONLY)`;
  return denial('ERR_SIDECAR_DESTINATION', detail, { host, port });
}

async function dial(
  host: string,
  port: number,
  attempted: string,
  client: Pick<Duplex, 'once'>,
): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
  client.once('close', () => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    const fail = (code: 'ERR_DIAL_UNREACHABLE' | 'ERR_DIAL_TIMEOUT', reason: string) => {
      socket.destroy();
      reject(new CountersignError(code, `${attempted}: ${reason}`));
    };
    socket.setTimeout(connectTimeoutMs, () => fail('ERR_DIAL_TIMEOUT', 'no answer in time'));
    socket.once('connect', resolve);
    socket.on('error', (thrown) => fail('ERR_DIAL_UNREACHABLE', thrown.message));
    socket.once('close', () => fail('ERR_DIAL_UNREACHABLE', 'closed'));
  });
  socket.setTimeout(0);
  return socket;
}
