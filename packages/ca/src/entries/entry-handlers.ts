import { type Denial, denial } from '@countersign/base';
import {
  formatEntryList,
  formatRegisteredEntry,
  parseEntryDeletion,
  parseEntryDraft,
  parseJsonBody,
} from '@countersign/wire';
import { type ApiAnswer, type ApiCall, nameOf } from '../serve/api-call.ts';
import type { ApiContext } from '../serve/api-context.ts';
import { AgentSeats } from './agent-seats.ts';
import type { EntryAnswer } from './entry-registry.ts';
import { streamToAgent } from './watch-stream.ts';

/** What the routes about registration entries do: reading one's own is for every agent, changing for administrators. */
export const entryHandlers = {
  async entries({ authority, isAdmin }: ApiContext, { caller }: ApiCall): Promise<ApiAnswer> {
    const { entries } = await authority.entries.inForce();
    const seesAll = caller.kind === 'operator' || (caller.kind === 'peer' && isAdmin(caller.peer));
    const own = nameOf(caller);
    const seen = seesAll ? entries : entries.filter((entry) => entry.agent === own);
    return { ok: true, body: formatEntryList(seen) };
  },

  async createEntry(context: ApiContext, call: ApiCall): Promise<ApiAnswer> {
    const refused = mayChange(context, call);
    if (refused !== undefined) return refused;
    const draft = parseEntryDraft(bodyOf(call));
    return answerOf(await context.authority.entries.create(draft, nameOf(call.caller)));
  },

  async deleteEntry(context: ApiContext, call: ApiCall): Promise<ApiAnswer> {
    const refused = mayChange(context, call);
    if (refused !== undefined) return refused;
    const { id } = parseEntryDeletion(bodyOf(call));
    return answerOf(await context.authority.entries.delete(id, nameOf(call.caller)));
  },

  async agentWatch(context: ApiContext, call: ApiCall): Promise<ApiAnswer> {
    const { caller } = call;
    if (caller.kind !== 'peer' || caller.peer.spiffeId === undefined) {
      const detail = `"${call.route.path}" is for agents, which have a certificate with a SPIFFE ID`;
      return denial('ERR_API_CERTIFICATE_NEEDED', detail);
    }
    const agent = caller.peer.spiffeId.toString();
    const { peer } = caller;
    const seat = seatsOf(context).take(agent);
    if (!seat.ok) return seat;
    const { leave } = seat;
    return {
      ok: true,
      stream: (response) => streamToAgent({ context, agent, peer, response }).finally(leave),
    };
  },
} as const;

const seats = new WeakMap<ApiContext, AgentSeats>();

/** Of one server. */
function seatsOf(context: ApiContext): AgentSeats {
  const known = seats.get(context) ?? new AgentSeats();
  seats.set(context, known);
  return known;
}

function mayChange({ isAdmin }: ApiContext, { caller, route }: ApiCall): Denial | undefined {
  if (caller.kind === 'operator' || (caller.kind === 'peer' && isAdmin(caller.peer))) {
    return undefined;
  }
  const detail = `"${nameOf(caller)}" may not ask "${route.path}": api.admins does not name it`;
  return denial('ERR_API_FORBIDDEN', detail);
}

function answerOf(answer: EntryAnswer): ApiAnswer {
  return answer.ok ? { ok: true, body: formatRegisteredEntry(answer.entry) } : answer;
}

function bodyOf({ body, route }: ApiCall): unknown {
  return parseJsonBody(body, `${route.name} request`, route.maxBodyBytes);
}
