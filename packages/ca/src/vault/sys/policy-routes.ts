import { capabilitiesAt } from '../access.ts';
import { hashOf } from '../tokens.ts';
import { done, type Handler, type VaultCall, type VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, readFields } from '../vault-fields.ts';
import { badRequest, missing, refusal } from '../vault-refusal.ts';

const policyField = {
  policy: field.text('', 'The policy: HCL, JSON, or either in base64.'),
  rules: field.text('', 'As "policy".'),
} as const;

/** Below `sys/`: what tokens may do. */
export const policyRoutes: readonly VaultRoute[] = [
  ...(['policies/acl', 'policy'] as const).flatMap((prefix): VaultRoute[] => [
    {
      path: prefix,
      help: 'Lists the policies.',
      on: { list: listPolicies, ...(prefix === 'policy' && { read: listPolicies }) },
    },
    {
      path: `${prefix}/:name`,
      help: 'One policy.',
      fields: policyField,
      creates: true,
      on: {
        read: readPolicyNamed(prefix === 'policy'),
        update: writePolicy,
        async delete({ policies }, { names }) {
          const wrong = await policies.remove(names.name ?? '');
          return wrong === undefined ? done : badRequest(wrong);
        },
      },
    },
  ]),
  {
    path: 'capabilities-self',
    help: 'What the token that is shown may do at paths.',
    on: { update: ownCapabilities },
  },
  { path: 'capabilities', help: 'What a token may do at paths.', on: { update: capabilitiesOf } },
  {
    path: 'capabilities-accessor',
    help: 'What the token of an accessor may do at paths.',
    on: { update: capabilitiesOf },
  },
];

async function listPolicies({ policies }: VaultContext, call: VaultCall) {
  const keys = await policies.names();
  const isOld = call.path === 'sys/policy';
  return { ok: true, data: isOld ? { keys, policies: keys } : { keys }, isFlat: isOld } as const;
}

function readPolicyNamed(isOld: boolean): Handler {
  return async function readPolicy({ policies }, { names }) {
    const found = await policies.find(names.name ?? '');
    if (names.name === 'root')
      return { ok: true, data: { name: 'root', [isOld ? 'rules' : 'policy']: '' }, isFlat: isOld };
    if (found === undefined) return missing(`no policy "${names.name}"`);
    const { name, text, version, modifiedAt } = found;
    const data = {
      allow_slashes_in_identity_templates: false,
      allow_wildcards_in_identity_templates: false,
      cas_required: false,
      modified: new Date(modifiedAt).toISOString(),
      name,
      [isOld ? 'rules' : 'policy']: text,
      version,
    };
    return { ok: true, data, isFlat: isOld };
  };
}

async function writePolicy({ policies, log }: VaultContext, call: VaultCall) {
  const read = readFields(policyField, call.body);
  if (!read.ok) return read;
  const written = get.text(read.values, 'policy') || get.text(read.values, 'rules');
  if (written === '') return badRequest("'policy' parameter not supplied or empty");
  const wrong = await policies.write(call.names.name ?? '', textOf(written));
  if (wrong !== undefined) return badRequest(wrong);
  log.info({ policy: call.names.name, by: call.caller?.token.who }, 'vault policy written');
  return done;
}

/** Some clients send it in base64. */
function textOf(written: string): string {
  if (!/^[A-Za-z0-9+/]+={0,2}\s*$/.test(written)) return written;
  return Buffer.from(written, 'base64').toString('utf8');
}

function ownCapabilities(context: VaultContext, call: VaultCall) {
  const names = call.caller?.token.policies ?? [];
  return answerCapabilities(context, call, names);
}

async function capabilitiesOf(context: VaultContext, call: VaultCall) {
  const { tokens } = context;
  const { token, accessor } = call.body;
  const found =
    typeof token === 'string' && token !== ''
      ? await tokens.find(hashOf(token))
      : await tokens.findByAccessor(String(accessor ?? ''));
  if (found === undefined) return refusal('ERR_VAULT_REQUEST', 400, 'invalid token');
  return answerCapabilities(context, call, found.policies);
}

async function answerCapabilities(
  { policies }: VaultContext,
  { body }: VaultCall,
  names: readonly string[],
) {
  const paths = [body.paths ?? body.path ?? []].flat().map(String).slice(0, 100);
  if (paths.length === 0) return badRequest('paths must be supplied');
  const rules = await policies.rulesOf(names);
  const of = (path: string) => {
    if (names.includes('root')) return ['root'];
    const given = [...capabilitiesAt(rules, path)].toSorted();
    return given.length === 0 ? ['deny'] : given;
  };
  const data: Record<string, unknown> = Object.fromEntries(paths.map((path) => [path, of(path)]));
  if (paths.length === 1) data.capabilities = of(paths[0] ?? '');
  return { ok: true, data, isFlat: true } as const;
}
