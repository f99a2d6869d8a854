import type { CodeFamily } from '../code-row.ts';

export const agentCodes = {
  ERR_AGENT_PLATFORM: {
    meaning:
      'The agent cannot ask this kernel who is at the other end of a socket: it needs Linux, and the package koffi.',
    hint: 'run it on Linux, and install with optional dependencies',
    exit: 2,
  },
  ERR_AGENT_SOCKET: {
    meaning: 'The socket of the agent could not be listened on.',
    hint: 'choose a path of at most 107 bytes in a directory that the agent may write, with --socket',
    exit: 2,
  },
  ERR_AGENT_PEER: {
    meaning: 'The process at the other end of a connection is gone, or not to be seen from here.',
    hint: 'let the process that connects stay until it is answered; run the agent in the PID namespace of its workloads or above',
    exit: 1,
  },
  ERR_AGENT_HEADER: {
    meaning: 'A call of the Workload API came without the header workload.spiffe.io: true.',
    hint: 'call it with a SPIFFE library; a proxy must not forward strangers to the socket',
    exit: 1,
  },
  ERR_AGENT_REQUEST: {
    meaning: 'A call of the Workload API lacks something that its method needs.',
    hint: 'give what the message names',
    exit: 1,
  },
  ERR_AGENT_NO_IDENTITY: {
    meaning: 'No registration entry matches the selectors of the process, so it has no identity.',
    hint: 'compare the selectors that the log line names with those of the entry that it names as closest',
    exit: 1,
  },
  ERR_AGENT_NOT_YET: {
    meaning: 'The identity of a workload is not issued yet, or has ended while none could be had.',
    hint: 'see in the log of the agent why the authority does not issue it',
    exit: 3,
  },
  ERR_AGENT_SELECTOR: {
    meaning: 'A selector of a registration entry is not of a kind that this agent can see.',
    hint: 'write one of those in docs/agent.md, such as unix:uid:1000',
    exit: 2,
  },
  ERR_AGENT_ISSUED: {
    meaning: 'The authority issued something else for an entry than was asked for; it is not used.',
    hint: 'ask the operator of the authority; what was issued before stays in use',
    exit: 1,
  },
  ERR_AGENT_FEDERATION: {
    meaning:
      'The bundle of a foreign trust domain could not be fetched; the one before it stays in use.',
    hint: 'see whether the endpoint of the other side answers, and whether its bundle_file is of its present root',
    exit: 3,
  },
  ERR_AGENT_EVICTED: {
    meaning:
      'The authority does not take the certificate of this agent any more: its workloads lost their streams.',
    hint: 'enrol the agent anew with a new token, if it is to be trusted again',
    exit: 1,
  },
  ERR_ENTRY_INVALID: {
    meaning: 'A registration entry names something that it cannot give.',
    hint: 'both SPIFFE IDs are of the own trust domain; write names in lowercase',
    exit: 2,
  },
  ERR_ENTRY_EXISTS: {
    meaning: 'There is an entry for the same SPIFFE ID, agent and selectors already.',
    hint: 'delete that one first: countersign entry delete ID',
    exit: 1,
  },
  ERR_ENTRY_UNKNOWN: {
    meaning: 'There is no registration entry of that id.',
    hint: 'see which there are: countersign entry list',
    exit: 1,
  },
  ERR_ENTRY_LIMIT: {
    meaning: 'There are as many registration entries as one authority keeps.',
    hint: 'delete those that no process needs any more',
    exit: 1,
  },
} as const satisfies CodeFamily;
