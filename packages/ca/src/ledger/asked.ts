import { AsyncLocalStorage } from 'node:async_hooks';

/** Who asked for a decision, and from where: what the audit trail says of it. */
export interface Asked {
  /** SPIFFE ID, `serial …`, `operator`, `authority` or `anonymous`. */
  readonly by: string;
  /** Network address, where it came over the network. */
  readonly from?: string | undefined;
}

const current = new AsyncLocalStorage<Asked>();

/**
 * Whatever `work` asks of a ledger was asked by this one. It accompanies the request instead of being passed through
 * every signature on the way: nothing but the audit trail may depend on it.
 */
export function whileAskedBy<T>(asked: Asked, work: () => T): T {
  return current.run(asked, work);
}

export function whoAsks(): Asked | undefined {
  return current.getStore();
}
