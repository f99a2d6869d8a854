import { join } from 'node:path';
import {
  codeTable,
  type PreparedDirectory,
  prepareDirectory,
  proveWritable,
} from '@countersign/base';
import {
  keepIssued,
  makeOwnRequest,
  type OwnRequest,
  placeIdentityDirectory,
  proveIssued,
  proveNamedCertificate,
  proveSameHolder,
  writeIdentity,
  writeNamedCertificate,
} from '@countersign/identity';
import { type BatchResponse, batchLimits } from '@countersign/wire';
import type { KeyKind } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { failureOf } from '../report-error.ts';
import { formatRfc3339 } from '../rfc3339.ts';
import { ExitWith } from '../verb.ts';
import { type WishOptions, wishesOf } from '../wish-options.ts';
import { readBatchFile, type WrittenOrder } from './batch-file.ts';
import { orderTogether, type RightOptions } from './order-together.ts';

export interface BatchOptions extends RightOptions, WishOptions {
  readonly batch: string;
  readonly out: string;
  readonly replace?: boolean;
  readonly output: string;
}

/** What became of one order. */
type Outcome =
  | {
      readonly name: string;
      readonly serial: string;
      readonly notAfter: number;
      readonly spiffeId?: string;
    }
  | {
      readonly name: string;
      readonly code: string;
      readonly detail: string;
      /** Where it was issued all the same, and is lost. */
      readonly serial?: string;
    };

interface Batch {
  readonly orders: readonly WrittenOrder[];
  readonly kind: KeyKind;
  /** For messages. */
  readonly attempted: string;
}

/** An order whose files can be written. */
interface PlacedOrder extends WrittenOrder {
  readonly place: PreparedDirectory;
}

/**
 * `countersign issue --batch`: a key and a certificate for each line, many in one call. Told line by line as they are on
 * disk; one that is refused takes nothing from the others.
 *
 * @throws ExitWith 1 where any was refused
 */
export async function issueBatch(cli: Cli, options: BatchOptions, kind: KeyKind): Promise<void> {
  const orders = await readBatchFile(cli, options.batch);
  const attempted = `issue to "${options.out}"`;
  const place = await prepareDirectory(options.out, attempted);
  let refused = 0;
  try {
    refused = await issueAll(cli, options, { orders, kind, attempted });
  } finally {
    await place.giveUp();
  }
  if (refused > 0) throw new ExitWith(1);
}

/** How many were refused. */
async function issueAll(
  cli: Cli,
  options: BatchOptions,
  { orders, kind, attempted }: Batch,
): Promise<number> {
  let refused = 0;
  for (let from = 0; from < orders.length; from += batchLimits.orders) {
    // 1. a place for each, before anything is ordered
    await proveWritable(options.out, attempted);
    const some: PlacedOrder[] = [];
    for (const order of await placed(options, orders.slice(from, from + batchLimits.orders))) {
      if ('place' in order) some.push(order);
      else {
        refused += 1;
        await tell(cli, order, options);
      }
    }
    if (some.length === 0) continue;
    // 2. a key for each
    const requests = await Promise.all(some.map(() => makeOwnRequest(kind)));
    // 3. the certificates, in one call
    const asked = some.map(({ spiffeId, dns, ip, wishes }, index) => ({
      ...{ csr: requests[index]?.csr ?? new Uint8Array(), own: false, dns, ip },
      ...{ ...wishesOf(options), ...wishes },
      ...(spiffeId !== undefined && { spiffeId }),
    }));
    const response = await orderTogether(cli, options, asked).catch(async (thrown: unknown) => {
      for (const { place } of some) await place.giveUp();
      throw thrown;
    });
    // 4. each proved as everybody's, and on disk in one step
    for (const [index, order] of some.entries()) {
      const outcome = await take(cli, options, {
        order,
        request: requests[index],
        response,
        index,
      });
      if ('code' in outcome) {
        refused += 1;
        await order.place.giveUp();
      }
      await tell(cli, outcome, options);
    }
  }
  return refused;
}

async function placed(
  { out, replace }: BatchOptions,
  orders: readonly WrittenOrder[],
): Promise<(PlacedOrder | Outcome)[]> {
  const found: (PlacedOrder | Outcome)[] = [];
  for (const order of orders) {
    const directory = join(out, order.name);
    try {
      if (replace !== true) await proveSameHolder(directory, order.spiffeId);
      found.push({ ...order, place: await placeIdentityDirectory(directory) });
    } catch (thrown) {
      const { code, message: detail } = failureOf(thrown);
      found.push({ name: order.name, code, detail });
    }
  }
  return found;
}

async function take(
  { clock }: Cli,
  { out }: BatchOptions,
  taken: {
    readonly order: WrittenOrder;
    readonly request: OwnRequest | undefined;
    readonly response: BatchResponse;
    readonly index: number;
  },
): Promise<Outcome> {
  const { order, request, response, index } = taken;
  const { name, spiffeId } = order;
  const result = response.results[index];
  if (result === undefined || request === undefined) {
    return { name, code: 'ERR_WIRE_MESSAGE', detail: 'the authority left the order out' };
  }
  if (!result.ok) {
    const { code, detail = codeTable[result.code].meaning } = result;
    return { name, code, detail };
  }
  const { serial, notAfter } = result;
  const { bundle, trustDomain } = response;
  const issued = { response: { ...result, bundle, trustDomain }, privateKey: request.privateKey };
  const directory = join(out, name);
  const write = (): Promise<void> =>
    spiffeId === undefined
      ? writeNamedCertificate(directory, proveNamedCertificate({ ...issued, clock }))
      : writeIdentity(directory, proveIssued({ ...issued, clock, spiffeId }));
  try {
    await keepIssued(serial, 'order', async () => write());
  } catch (thrown) {
    const { code, message: detail } = failureOf(thrown);
    return { name, code, detail, serial };
  }
  return { name, serial, notAfter, ...(spiffeId !== undefined && { spiffeId }) };
}

async function tell(cli: Cli, outcome: Outcome, { out, output }: BatchOptions): Promise<void> {
  if (output === 'json') {
    const facts =
      'code' in outcome
        ? { ok: false, ...outcome }
        : {
            ok: true,
            ...outcome,
            notAfter: formatRfc3339(outcome.notAfter),
            out: join(out, outcome.name),
          };
    await cli.out(`${JSON.stringify(facts)}\n`);
    return;
  }
  await cli.out(
    'code' in outcome
      ? `${outcome.name}: refused, ${outcome.code}: ${outcome.detail}\n`
      : `${outcome.name}: until ${formatRfc3339(outcome.notAfter)}, serial ${outcome.serial}, in ${join(out, outcome.name)}\n`,
  );
}
