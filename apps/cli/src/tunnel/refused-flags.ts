import { CountersignError } from '@countersign/base';
import { type Command, Option } from 'commander';

/** Flags of ghostunnel that are not done, and what there is instead. */
const refused: Readonly<Record<string, string>> = {
  'allow-policy': 'policies of OPA are not done; policies of Istio are, by `countersign gateway`',
  'allow-query': 'policies of OPA are not done; policies of Istio are, by `countersign gateway`',
  'verify-policy': 'policies of OPA are not done',
  'verify-query': 'policies of OPA are not done',
  'allow-spki-pin': 'a key is not trusted without its certificate; sign one, and use --allow-uri',
  'verify-spki-pin': 'a key is not trusted without its certificate; sign one, and use --verify-uri',
  'auto-acme-cert': 'ACME is asked by an issuer: --issuer FILE with `acme`',
  'auto-acme-email': 'ACME is asked by an issuer: --issuer FILE with `acme`',
  'auto-acme-agree-to-tos': 'ACME is asked by an issuer: --issuer FILE with `acme`',
  'auto-acme-ca': 'ACME is asked by an issuer: --issuer FILE with `acme`',
  'auto-acme-testca': 'ACME is asked by an issuer: --issuer FILE with `acme`',
  'keychain-identity': 'keys of a keychain cannot serve TLS here',
  'keychain-issuer': 'keys of a keychain cannot serve TLS here',
  'keychain-require-token': 'keys of a keychain cannot serve TLS here',
  'pkcs11-module': 'keys of tokens cannot serve TLS here; --proof-key lets one vouch for enrolment',
  'pkcs11-token-label': 'keys of tokens cannot serve TLS here',
  'pkcs11-pin': 'keys of tokens cannot serve TLS here',
  storepass: 'keystores are read in PEM, without a password',
  'cipher-suites': 'suites are those with forward secrecy and AEAD, there is no choice',
  'allow-unsafe-cipher-suites': 'there are none',
  'max-tls-version': 'TLS 1.3 is never left out',
  proxy: 'targets are dialled directly',
  'connect-proxy': 'targets are dialled directly',
  'target-status': 'no health checks are made of the target',
  'metrics-graphite': 'metrics are asked for at --status, in the format of Prometheus',
  'metrics-url': 'metrics are asked for at --status, in the format of Prometheus',
  'metrics-prefix': 'metrics have the names of those of a gateway',
  'metrics-interval': 'metrics are asked for at --status',
  'enable-pprof': 'there are no profiles',
  'enable-shutdown': 'send SIGTERM instead',
  quiet: 'use --log-level warn, error or silent',
  syslog: 'logs go to standard error; let the service manager take them',
  eventlog: 'logs go to standard error',
  'skip-resolve': 'leave it out: targets are looked up for each connection alone',
  'use-workload-api-timeout': 'the start waits for the agent for a while of its own',
  'use-landlock': 'let the service manager confine it',
  'disable-landlock': 'leave it out: there is no Landlock here',
};

/** Known to the command line, so that each is refused with what there is instead. */
export function addRefusedFlags(command: Command): void {
  for (const name of Object.keys(refused)) {
    if (command.options.some((option) => option.long === `--${name}`)) continue;
    command.addOption(new Option(`--${name} [value]`, 'not done').hideHelp());
    command.on(`option:${name}`, () => {
      throw new CountersignError('ERR_USAGE', `--${name} of ghostunnel is not done`, {
        hint: refused[name] ?? '',
      });
    });
  }
}
