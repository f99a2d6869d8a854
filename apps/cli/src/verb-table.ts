import { beginThreadAhead } from '@countersign/ca/ledger-thread';
import type { Verb } from './verb.ts';

/** A row a verb, in the order of `countersign --help`. A verb's rooms are loaded only when it runs. */
export interface VerbRow {
  /** One or two words, as typed: `inspect`, `ca serve`. */
  readonly name: string;
  readonly summary: string;
  load(): Promise<Verb>;
  /** Begins what takes a while and needs none of its rooms, before they are loaded. */
  begin?(): void;
}

export const verbTable: readonly VerbRow[] = [
  {
    name: 'demo',
    summary: 'tell the whole story on this machine, with real processes',
    load: async () => (await import('./verbs/demo.ts')).demoVerb,
  },
  {
    name: 'init',
    summary: 'make a certificate authority: root, intermediates, ledger',
    load: async () => (await import('./verbs/init.ts')).initVerb,
  },
  {
    name: 'ca serve',
    summary: 'serve its API: enrolment, renewal, revocation and the feed',
    load: async () => (await import('./verbs/ca-serve.ts')).caServeVerb,
    begin: beginThreadAhead,
  },
  {
    name: 'ca status',
    summary: 'what it holds, who follows it, and what wants a look',
    load: async () => (await import('./verbs/ca-status.ts')).caStatusVerb,
  },
  {
    name: 'root show',
    summary: 'how the key of the root or an intermediate stands, and who lacks the new root',
    load: async () => (await import('./verbs/root-show.ts')).rootShowVerb,
  },
  {
    name: 'root prepare',
    summary: 'make a new root or intermediate key, and distribute the bundle with both',
    load: async () => (await import('./verbs/root-prepare.ts')).rootPrepareVerb,
  },
  {
    name: 'root activate',
    summary: 'issue under the new key from now on',
    load: async () => (await import('./verbs/root-activate.ts')).rootActivateVerb,
  },
  {
    name: 'root retire',
    summary: 'trust the old key no more',
    load: async () => (await import('./verbs/root-retire.ts')).rootRetireVerb,
  },
  {
    name: 'root rollback',
    summary: 'go back to the old key',
    load: async () => (await import('./verbs/root-rollback.ts')).rootRollbackVerb,
  },
  {
    name: 'token create',
    summary: 'make a token for one enrolment',
    load: async () => (await import('./verbs/token-create.ts')).tokenCreateVerb,
  },
  {
    name: 'est password',
    summary: 'make the password of an EST user, and its hash for ca.yaml',
    load: async () => (await import('./verbs/est-password.ts')).estPasswordVerb,
  },
  {
    name: 'vault token',
    summary: "make the first token of Vault's API, or one in the place of one that was lost",
    load: async () => (await import('./verbs/vault-token.ts')).vaultTokenVerb,
  },
  {
    name: 'enrol',
    summary: 'get a first identity with a token',
    load: async () => (await import('./verbs/enrol.ts')).enrolVerb,
  },
  {
    name: 'renew',
    summary: 'replace an identity by a fresh one for the same names',
    load: async () => (await import('./verbs/renew.ts')).renewVerb,
  },
  {
    name: 'exec',
    summary: 'run a program with an identity that stays fresh',
    load: async () => (await import('./verbs/exec.ts')).execVerb,
  },
  {
    name: 'keep',
    summary: 'keep certificates in files fresh, and prove that they are served',
    load: async () => (await import('./verbs/keep.ts')).keepVerb,
  },
  {
    name: 'issue',
    summary: 'make key and certificate, for whoever holds the state',
    load: async () => (await import('./verbs/issue.ts')).issueVerb,
  },
  {
    name: 'sign',
    summary: 'sign the request of an intermediate with an offline root',
    load: async () => (await import('./verbs/sign.ts')).signVerb,
  },
  {
    name: 'policy test',
    summary: 'say what ca.yaml would answer to a request, and why',
    load: async () => (await import('./verbs/policy-test.ts')).policyTestVerb,
  },
  {
    name: 'revoke',
    summary: 'revoke certificates, and cut the connections that they hold open',
    load: async () => (await import('./verbs/revoke.ts')).revokeVerb,
  },
  {
    name: 'crl',
    summary: 'say which revocation lists there are, or write one to a file',
    load: async () => (await import('./verbs/crl.ts')).crlVerb,
  },
  {
    name: 'log show',
    summary: 'the issuance log: whose it is, its key, its newest entries',
    load: async () => (await import('./verbs/log-show.ts')).logShowVerb,
  },
  {
    name: 'log prove',
    summary: 'prove that a certificate is in it, or that it continues a checkpoint',
    load: async () => (await import('./verbs/log-prove.ts')).logProveVerb,
  },
  {
    name: 'log verify',
    summary: 'verify a proof offline, or a whole log, naming what was tampered with',
    load: async () => (await import('./verbs/log-verify.ts')).logVerifyVerb,
  },
  {
    name: 'log watch',
    summary: 'follow it, and tell when somebody else is issued your name',
    load: async () => (await import('./verbs/log-watch.ts')).logWatchVerb,
  },
  {
    name: 'scan',
    summary: 'find private keys where they should not be, and revoke what they are for',
    load: async () => (await import('./verbs/scan.ts')).scanVerb,
  },
  {
    name: 'audit verify',
    summary: 'prove the audit trail and every ledger record, naming what was changed',
    load: async () => (await import('./verbs/audit-verify.ts')).auditVerifyVerb,
  },
  {
    name: 'audit export',
    summary: 'print who asked for what, and what was decided, as JSON lines',
    load: async () => (await import('./verbs/audit-export.ts')).auditExportVerb,
  },
  {
    name: 'backup',
    summary: 'copy an authority and its ledger, also while it serves',
    load: async () => (await import('./verbs/backup.ts')).backupVerb,
  },
  {
    name: 'restore',
    summary: 'make a data directory of a backup, and prove its ledger sound',
    load: async () => (await import('./verbs/restore.ts')).restoreVerb,
  },
  {
    name: 'gateway',
    summary: 'serve an API gateway with mTLS on both sides',
    load: async () => (await import('./verbs/gateway.ts')).gatewayVerb,
  },
  {
    name: 'gateway connections',
    summary: 'who is connected to a running gateway, sidecar or tunnel',
    load: async () => (await import('./verbs/gateway-connections.ts')).gatewayConnectionsVerb,
  },
  {
    name: 'gateway certs',
    summary: 'which certificates it shows, and whom it believes',
    load: async () => (await import('./verbs/gateway-certs.ts')).gatewayCertsVerb,
  },
  {
    name: 'gateway config-dump',
    summary: 'by what it goes: listeners, upstreams, policies in force',
    load: async () => (await import('./verbs/gateway-config-dump.ts')).gatewayConfigDumpVerb,
  },
  {
    name: 'tunnel server',
    summary: 'mTLS before a service that has none: a database, or anything over TCP',
    load: async () => (await import('./verbs/tunnel-server.ts')).tunnelServerVerb,
  },
  {
    name: 'tunnel client',
    summary: 'mTLS for a program that has none, to wherever a server has it',
    load: async () => (await import('./verbs/tunnel-client.ts')).tunnelClientVerb,
  },
  {
    name: 'sidecar',
    summary: 'stand beside an application that knows no mTLS, before its ports and for its calls',
    load: async () => (await import('./verbs/sidecar.ts')).sidecarVerb,
  },
  {
    name: 'sidecar readiness',
    summary: 'say who still comes in plaintext, and which ports can be STRICT',
    load: async () => (await import('./verbs/sidecar-readiness.ts')).sidecarReadinessVerb,
  },
  {
    name: 'sidecar enforce',
    summary: 'make a port STRICT on trial; it rolls back where that refuses too many',
    load: async () => (await import('./verbs/sidecar-enforce.ts')).sidecarEnforceVerb,
  },
  {
    name: 'sidecar rules',
    summary: 'print or apply what sends connections through a sidecar: iptables or nftables',
    load: async () => (await import('./verbs/sidecar-rules.ts')).sidecarRulesVerb,
  },
  {
    name: 'sidecar schema',
    summary: 'print the JSON Schema of sidecar.yaml, for editors',
    load: async () => (await import('./verbs/sidecar-schema.ts')).sidecarSchemaVerb,
  },
  {
    name: 'agent',
    summary: 'give the processes of this machine their identities: Workload API and SDS',
    load: async () => (await import('./verbs/agent.ts')).agentVerb,
  },
  {
    name: 'entry create',
    summary: 'say which process of which agent gets which identity',
    load: async () => (await import('./verbs/entry-create.ts')).entryCreateVerb,
  },
  {
    name: 'entry list',
    summary: 'the registration entries of an authority',
    load: async () => (await import('./verbs/entry-list.ts')).entryListVerb,
  },
  {
    name: 'entry delete',
    summary: 'take an identity from its processes',
    load: async () => (await import('./verbs/entry-delete.ts')).entryDeleteVerb,
  },
  {
    name: 'router',
    summary: 'serve a federated GraphQL router whose subgraph calls are mTLS',
    load: async () => (await import('./verbs/router.ts')).routerVerb,
  },
  {
    name: 'router issue-svid',
    summary: "make a subgraph's certificate with the router's local authority",
    load: async () => (await import('./verbs/router-issue-svid.ts')).routerIssueSvidVerb,
  },
  {
    name: 'router explain',
    summary: 'print the plan of an operation, by whom each fetch goes, and what is refused',
    load: async () => (await import('./verbs/router-explain.ts')).routerExplainVerb,
  },
  {
    name: 'router schema',
    summary: 'print the JSON Schema of router.yaml, for editors',
    load: async () => (await import('./verbs/router-schema.ts')).routerSchemaVerb,
  },
  {
    name: 'authz test',
    summary: 'run a table of expectations against policies',
    load: async () => (await import('./verbs/authz-test.ts')).authzTestVerb,
  },
  {
    name: 'authz explain',
    summary: 'say why policies allow or deny a request, rule by rule',
    load: async () => (await import('./verbs/authz-explain.ts')).authzExplainVerb,
  },
  {
    name: 'inspect',
    summary: 'say what a certificate, chain, request, CRL, key or bundle holds',
    load: async () => (await import('./verbs/inspect.ts')).inspectVerb,
  },
  {
    name: 'verify',
    summary: 'judge a certificate chain, naming the first rule that fails',
    load: async () => (await import('./verbs/verify.ts')).verifyVerb,
  },
  {
    name: 'check',
    summary: 'read configuration files of any kind, and list every finding',
    load: async () => (await import('./verbs/check.ts')).checkVerb,
  },
  {
    name: 'explain',
    summary: 'say what an error code means and what to do next, offline',
    load: async () => (await import('./verbs/explain.ts')).explainVerb,
  },
  {
    name: 'completion',
    summary: 'print a completion script for bash, zsh or fish',
    load: async () => (await import('./verbs/completion.ts')).completionVerb,
  },
];

/** What the first words of the two-word verbs stand for, in the program's help. */
export const groupSummaries: Readonly<Record<string, string>> = {
  authz: 'who may do what, by policies',
  audit: 'the audit trail: every decision of the authority',
  ca: 'the certificate authority',
  entry: 'registration entries: which process gets which identity',
  policy: 'who gets which certificate',
  root: 'replacing the key of the root or of an intermediate, without an outage',
  log: 'the issuance log: every certificate, for everybody to see',
  token: 'one-time tokens for enrolment',
  tunnel: 'any bytes over mTLS, with the flags of ghostunnel',
  vault: "the authority's door for clients of Vault",
};
