import { CountersignError, parseDuration } from '@countersign/base';
import { prepareIdentityDirectory, writeIdentity } from '@countersign/identity';
import { CertificateAuthority } from '@countersign/provider';
import type { Cli } from '../cli.ts';
import { listOption } from '../list-option.ts';
import { outputOption } from '../output-option.ts';
import { readRouterFiles } from '../serve/router-files.ts';
import { tellIdentity } from '../state/tell-identity.ts';
import type { Verb } from '../verb.ts';

interface IssueSvidOptions {
  readonly service: string;
  readonly namespace: string;
  readonly config?: string;
  readonly caCert?: string;
  readonly caKey?: string;
  readonly trustDomain?: string;
  readonly dns?: string[];
  readonly ip?: string[];
  readonly ttl: string;
  readonly out: string;
  readonly output: string;
}

/** `countersign router issue-svid`: a subgraph's identity, by the local authority of router.yaml. */
export const routerIssueSvidVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--service <name>', 'the service, the last part of its SPIFFE ID')
      .option('--namespace <name>', 'its namespace', 'default')
      .option('--config <file>', 'router.yaml, whose mtls section names the authority')
      .option('--ca-cert <file>', "the authority's certificate, instead of the file's")
      .option('--ca-key <file>', "the authority's key, instead of the file's")
      .option('--trust-domain <name>', "instead of the file's; cluster.local without a file")
      .addOption(
        listOption('--dns <name>', 'a DNS name; those of the service and localhost unless given'),
      )
      .addOption(listOption('--ip <address>', 'an IP address; the loopback ones unless given'))
      .option('--ttl <duration>', 'its lifetime', '24h')
      .requiredOption('--out <dir>', 'where to write key.pem, cert.pem, chain.pem, bundle.pem')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: IssueSvidOptions) => issueSvid(cli, options));
  },
};

const help = `
For development: the authority is the one of ca_cert_path and ca_key_path, which is made where neither file exists yet.

Example:
  countersign router issue-svid --config router.yaml --service users --namespace default --out users`;

async function issueSvid(cli: Cli, options: IssueSvidOptions): Promise<void> {
  const files = await authorityFiles(cli, options);
  const place = await prepareIdentityDirectory(options.out);
  try {
    const { ca, isNew } = await CertificateAuthority.openOrCreate({ ...files, clock: cli.clock });
    if (isNew) cli.err(`made a new local authority: ${files.caCertPath}\n`);
    const identity = await ca.issue({
      serviceName: options.service,
      namespace: options.namespace,
      ttlSecs: Math.floor(parseDuration(options.ttl) / 1000),
      ...(options.dns !== undefined && { dns: options.dns }),
      ...(options.ip !== undefined && { ip: options.ip }),
    });
    await writeIdentity(options.out, identity);
    await tellIdentity(cli, identity.svid, options.out, options.output);
  } catch (thrown) {
    await place.giveUp();
    throw thrown;
  }
}

async function authorityFiles(cli: Cli, options: IssueSvidOptions) {
  const { config: file, caCert, caKey } = options;
  const mtls = file === undefined ? undefined : (await readRouterFiles(cli, { config: file })).mtls;
  const caCertPath = caCert ?? mtls?.ca_cert_path;
  const caKeyPath = caKey ?? mtls?.ca_key_path;
  const trustDomain = options.trustDomain ?? mtls?.trust_domain ?? 'cluster.local';
  if (caCertPath !== undefined && caKeyPath !== undefined)
    return { caCertPath, caKeyPath, trustDomain };
  throw new CountersignError('ERR_USAGE', 'router issue-svid: no local authority is named', {
    hint: 'set mtls.ca_cert_path and mtls.ca_key_path in router.yaml, or give --ca-cert and --ca-key',
  });
}
