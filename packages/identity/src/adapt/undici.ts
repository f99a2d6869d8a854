import type { TLSSocket } from 'node:tls';
import { CountersignError } from '@countersign/base';
import type { LiveSource } from '../live/live-source.ts';
import { type DialRules, dialler } from './dialling.ts';

/** What is needed of `undici`, from version 6 on; its own types differ between its versions. */
export interface UndiciModule {
  readonly Agent: new (options: never) => object;
  readonly Dispatcher: abstract new () => object;
  readonly fetch: (input: never, init?: never) => Promise<object>;
}

interface UndiciDispatcher {
  dispatch(...request: unknown[]): boolean;
  close(): Promise<void>;
  destroy(failed: unknown): Promise<void>;
}

export interface UndiciOptions extends DialRules {
  /** For undici's `Agent`, such as `connections`; its `connect` is ours. */
  readonly agent?: Readonly<Record<string, unknown>>;
}

/**
 * A dispatcher whose connections present the identity of the moment that they are made. A rotation opens a new pool; the
 * old one ends once its requests have.
 */
export function undiciDispatcher<U extends UndiciModule>(
  undici: U,
  source: LiveSource,
  options: UndiciOptions = {},
): InstanceType<U['Dispatcher']> {
  if (typeof undici?.Agent !== 'function' || typeof undici.Dispatcher !== 'function') {
    throw new CountersignError('ERR_IDENTITY_ADAPTER', 'undici: no Agent and Dispatcher in it');
  }
  const dial = dialler(source, options);
  const Agent = undici.Agent as unknown as new (options: object) => UndiciDispatcher;
  const Dispatcher = undici.Dispatcher as unknown as new () => object;
  const retired = new Set<Promise<unknown>>();
  let agent = open();
  const unfollow = source.onChange(function swapPools() {
    const old = agent;
    agent = open();
    retire(old.close());
  });

  function open() {
    return new Agent({ ...options.agent, connect });
  }

  function connect(
    { hostname, port, protocol }: { hostname: string; port: string; protocol: string },
    done: (failed: Error | null, socket: TLSSocket | null) => void,
  ): void {
    if (protocol !== 'https:') {
      const message = `connect to "${protocol}//${hostname}": this dispatcher does mTLS alone`;
      done(new CountersignError('ERR_USAGE', message, { hint: 'use an https URL' }), null);
      return;
    }
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    dial({ host, port: port === '' ? 443 : Number(port) }).then(
      ({ socket }) => done(null, socket),
      (thrown: Error) => done(thrown, null),
    );
  }

  function retire(ended: Promise<unknown>): void {
    const settled = ended.catch(() => {});
    retired.add(settled);
    void settled.then(() => retired.delete(settled));
  }

  class IdentityDispatcher extends Dispatcher {
    dispatch(...request: unknown[]): boolean {
      return agent.dispatch(...request);
    }

    close(callback?: () => void): Promise<void> {
      return end(agent.close(), callback);
    }

    destroy(...given: unknown[]): Promise<void> {
      const [failed = null] = given.filter((each) => typeof each !== 'function');
      const callback = given.find((each): each is () => void => typeof each === 'function');
      return end(agent.destroy(failed), callback);
    }
  }

  async function end(ended: Promise<unknown>, callback: (() => void) | undefined): Promise<void> {
    unfollow();
    await Promise.all([ended, ...retired]);
    callback?.();
  }

  return new IdentityDispatcher() as unknown as InstanceType<U['Dispatcher']>;
}

/** `fetch` over {@link undiciDispatcher}. It rejects with the reason, not with undici's wrapping of it. */
export function undiciFetch<U extends UndiciModule>(
  undici: U,
  source: LiveSource,
  options: UndiciOptions = {},
): U['fetch'] & { close(): Promise<void> } {
  const dispatcher = undiciDispatcher(undici, source, options);
  const mtlsFetch = async (input: unknown, init?: object) => {
    try {
      return await undici.fetch(input as never, { ...init, dispatcher } as never);
    } catch (thrown) {
      const cause = thrown instanceof Error ? thrown.cause : undefined;
      throw cause instanceof CountersignError ? cause : thrown;
    }
  };
  return Object.assign(mtlsFetch as U['fetch'], {
    close: () => (dispatcher as UndiciDispatcher).close(),
  });
}
