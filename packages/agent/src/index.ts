export { type AgentConfig, type FederatedDomain, parseAgentConfig } from './agent-config.ts';
export type { AttestConfig, AttestSource } from './attest-config.ts';
export { type Entry, type EntryDraft, makeEntry } from './entries/entry.ts';
export { type Kernel, openKernel } from './peer/kernel.ts';
export {
  type Agent,
  type AgentAuthority,
  type AgentOptions,
  type AgentStats,
  startAgent,
} from './start-agent.ts';
