import { CountersignError, messageOf, parseDuration } from '@countersign/base';
import { type CertificateWishes, readMessage } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { inputName, readInput } from '../read-input.ts';

/** One line of a batch: what is ordered, and the directory below `--out` that it goes to. */
export interface WrittenOrder {
  readonly name: string;
  readonly spiffeId: string | undefined;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly wishes: CertificateWishes;
}

/** Below `--out` and nowhere else. */
const plainName = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
const mostOrders = 100_000;

/**
 * The orders of a file of JSON lines; empty lines and those that begin with `#` are passed over. All of it is read
 * before anything is ordered.
 *
 * @throws CountersignError ERR_FILE, ERR_CLI_BATCH with the line
 */
export async function readBatchFile(cli: Cli, source: string): Promise<WrittenOrder[]> {
  const text = Buffer.from(await readInput(cli, source, 'issue')).toString('utf8');
  const taken = new Map<string, number>();
  const orders: WrittenOrder[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const number = index + 1;
    const fail = (reason: string) =>
      new CountersignError('ERR_CLI_BATCH', `${inputName(source)}, line ${number}: ${reason}`, {
        fields: { line: number },
      });
    const order = readOrder(trimmed, String(number), fail);
    const earlier = taken.get(order.name);
    if (earlier !== undefined) throw fail(`the name "${order.name}" is that of line ${earlier}`);
    taken.set(order.name, number);
    orders.push(order);
    if (orders.length > mostOrders) throw fail(`at most ${mostOrders} orders are read`);
  }
  if (orders.length > 0) return orders;
  throw new CountersignError('ERR_CLI_BATCH', `${inputName(source)} holds no order`);
}

function readOrder(
  line: string,
  number: string,
  fail: (reason: string) => CountersignError,
): WrittenOrder {
  let order: WrittenOrder;
  try {
    order = parseOrder(JSON.parse(line), number);
  } catch (thrown) {
    throw fail(thrown instanceof SyntaxError ? 'it is no JSON' : messageOf(thrown));
  }
  const { name, spiffeId, dns, ip } = order;
  if (!plainName.test(name)) throw fail(`the name "${name}" is no plain name of a directory`);
  if (spiffeId === undefined && dns.length + ip.length === 0) throw fail('no name is ordered');
  return order;
}

const limits = { maxItems: 64, max: 2048 };

function parseOrder(json: unknown, number: string): WrittenOrder {
  return readMessage('the order', json, (m) => {
    const text = (member: string) => m.text(member, { max: 2048 });
    const ttl = m.optional('ttl', text);
    const profile = m.optional('profile', text);
    const issuer = m.optional('issuer', text);
    return {
      name: m.optional('name', text) ?? number,
      spiffeId: m.optional('spiffeId', text),
      dns: m.optional('dns', (member) => m.listOfTexts(member, limits)) ?? [],
      ip: m.optional('ip', (member) => m.listOfTexts(member, limits)) ?? [],
      wishes: {
        ...(ttl !== undefined && { ttlMs: parseDuration(ttl) }),
        ...(profile !== undefined && { profile }),
        ...(issuer !== undefined && { issuer }),
      },
    };
  });
}
