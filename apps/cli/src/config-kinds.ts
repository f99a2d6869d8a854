import { CountersignError, nearestWord } from '@countersign/base';
import { parseYamlDocuments, type SourceDocument } from '@countersign/config';
import type { PoliciesChecked, PolicySurroundings } from './check-policies.ts';
import type { Cli } from './cli.ts';

/** A kind of configuration file, told by its content rather than its name. */
export interface ConfigKind {
  readonly name:
    | 'authority'
    | 'gateway'
    | 'sidecar'
    | 'router'
    | 'agent'
    | 'keep'
    | 'authorization policies';
  /** Reads the whole file as the command that uses it would, and the files that it names. Returns notes for the operator. */
  read(text: string, file: string, cli: Cli): Promise<readonly string[]>;
  /** Instead of `read`, where a file can be used and have findings all the same. */
  check?(
    text: string,
    file: string,
    cli: Cli,
    around: PolicySurroundings,
  ): Promise<PoliciesChecked>;
}

const kinds: readonly (ConfigKind & { recognise(value: Fields): boolean })[] = [
  {
    name: 'keep',
    recognise: (value) =>
      'keep' in value || 'certificates' in value || value.kind === 'Certificate',
    async read(text, file) {
      const { parseKeepConfig } = await import('./keep/keep-config.ts');
      parseKeepConfig(text, file);
      return [];
    },
  },
  {
    name: 'authorization policies',
    recognise: (value) => 'kind' in value || 'apiVersion' in value,
    async read(text, file) {
      const { compileRules, parseAuthorizationPolicies } = await import('@countersign/authz');
      compileRules(parseAuthorizationPolicies(text, file));
      return [];
    },
    async check(text, file, cli, around) {
      const { checkPolicies } = await import('./check-policies.ts');
      return checkPolicies(cli, text, file, around);
    },
  },
  {
    name: 'sidecar',
    recognise: (value) => 'sidecar' in value,
    async read(text, file, cli) {
      const { filesOf } = await import('./sidecar/sidecar-files.ts');
      const { doubtsAbout, missingProviders, rulesOf } = await import('./serve/gateway-files.ts');
      const files = await filesOf(cli, text, { config: file });
      // Whose trust domain it is, its identity will say.
      rulesOf(files, 'cluster.local');
      const doubts = doubtsAbout(files, 'cluster.local').map(({ message }) => message);
      const missing = missingProviders(files).map(
        (name) =>
          `CUSTOM policies ask provider "${name}", which "authorization.providers" does not have`,
      );
      return [...files.notes, ...doubts, ...missing];
    },
  },
  {
    name: 'router',
    recognise: (value) => 'supergraph' in value || 'subgraphs' in value || 'mtls' in value,
    async read(text, file, cli) {
      const { checkRouterFiles } = await import('./serve/router-files.ts');
      return await checkRouterFiles(cli, text, file);
    },
  },
  {
    name: 'gateway',
    recognise: (value) =>
      ['routes', 'listen', 'listeners', 'istio', 'static_resources', 'staticResources'].some(
        (key) => key in value,
      ),
    async read(text, file, cli) {
      const { readGatewayConfig } = await import('./serve/gateway-languages.ts');
      const { believedTokens, doubtsAbout, missingProviders, readPolicies, readRoles, rulesOf } =
        await import('./serve/gateway-files.ts');
      const read = await readGatewayConfig(cli, text, file);
      const { config } = read;
      const beside = await readPolicies(cli, config, { config: file });
      const policies = [...read.policies, ...beside.authorization];
      const tokens = [...read.tokens, ...beside.tokens];
      await readRoles(cli, config, { config: file });
      // Whose trust domain it is, its identity will say.
      rulesOf({ config, policies }, 'cluster.local');
      believedTokens({ config, tokens }, 'cluster.local');
      const doubts = doubtsAbout({ config, policies, tokens }, 'cluster.local').map(
        ({ message }) => message,
      );
      const missing = missingProviders({ config, policies }).map(
        (name) =>
          `CUSTOM policies ask provider "${name}", which "authorization.providers" does not have`,
      );
      return [...read.notes, ...doubts, ...missing];
    },
  },
  {
    name: 'agent',
    recognise: (value) => 'agent' in value || 'entries' in value,
    async read(text, file) {
      const { parseAgentConfig } = await import('@countersign/agent');
      parseAgentConfig(text, file);
      return [];
    },
  },
  {
    name: 'authority',
    recognise: (value) => 'ca' in value || 'service_certificates' in value,
    async read(text, file) {
      const { checkStepFiles, parseCaConfig } = await import('@countersign/ca');
      const config = parseCaConfig(text, file);
      await checkStepFiles(config);
      return config.notices;
    },
  },
];

type Fields = Readonly<Record<string, unknown>>;

const markers = [
  ...[
    'ca',
    'service_certificates',
    'supergraph',
    'subgraphs',
    'mtls',
    'routes',
    'listen',
    'sidecar',
  ],
  ...[
    'listeners',
    'istio',
    'static_resources',
    'agent',
    'entries',
    'keep',
    'certificates',
    'kind',
    'apiVersion',
  ],
];

/**
 * The kind of a configuration file by the keys of its first document.
 *
 * @throws ConfigError where it is no YAML; CountersignError ERR_CLI_CONFIG_KIND where no key tells
 */
export function configKindOf(text: string, file: string): ConfigKind {
  const [first] = parseYamlDocuments(text, file);
  const value = fieldsOf(first);
  const found = kinds.find((kind) => kind.recognise(value));
  if (found !== undefined) return found;
  const keys = Object.keys(value);
  const close = keys
    .map((key) => ({ key, nearest: nearestWord(key, markers) }))
    .find(({ nearest }) => nearest !== undefined);
  const also = close === undefined ? '' : `; for "${close.key}" the nearest is "${close.nearest}"`;
  const has =
    keys.length === 0
      ? 'no keys'
      : `the keys ${keys
          .slice(0, 8)
          .map((key) => `"${key}"`)
          .join(', ')}`;
  throw new CountersignError(
    'ERR_CLI_CONFIG_KIND',
    `${file}: it has ${has}, none of ${markers.map((key) => `"${key}"`).join(', ')}${also}`,
  );
}

function fieldsOf(document: SourceDocument | undefined): Fields {
  const value = document?.value;
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isMap ? (value as Fields) : {};
}
