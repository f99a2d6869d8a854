import type { ServerDuplexStream, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import type { Admission } from '../serve/admit-workload.ts';
import type { LiveStreams } from '../serve/live-streams.ts';
import type { LocalService } from '../serve/local-server.ts';
import { type CallRefusal, refusalOf } from '../serve/refuse-call.ts';
import type { HeldIdentities } from '../svids/held-identities.ts';
import { DeltaStream } from './delta-stream.ts';
import {
  type DeltaDiscoveryRequest,
  type DiscoveryRequest,
  sdsMessages,
  sdsMethods,
  secretType,
} from './sds-messages.ts';
import type { SdsReport } from './sds-report.ts';
import {
  missingOf,
  type SdsStream,
  type SdsStreamOptions,
  tooMany,
  wrongType,
} from './sds-stream.ts';
import { secretsOf } from './secrets-of.ts';
import { SotwStream } from './sotw-stream.ts';

export interface SdsOptions {
  readonly admission: Admission;
  readonly streams: LiveStreams;
  readonly identities: HeldIdentities;
  readonly report: SdsReport;
}

/** Envoy's secret discovery, version 3: state of the world, delta, and single fetches. */
export function sdsService(options: SdsOptions): LocalService {
  return {
    definition: sdsMethods,
    implementation: {
      streamSecrets(call: ServerDuplexStream<DiscoveryRequest, Uint8Array>) {
        void serve(options, call, 'StreamSecrets', SotwStream);
      },
      deltaSecrets(call: ServerDuplexStream<DeltaDiscoveryRequest, Uint8Array>) {
        void serve(options, call, 'DeltaSecrets', DeltaStream);
      },
      fetchSecrets(
        call: ServerUnaryCall<DiscoveryRequest, Uint8Array>,
        callback: sendUnaryData<Uint8Array>,
      ) {
        void fetchSecrets(options, call).then(
          (answer) => (answer instanceof Uint8Array ? callback(null, answer) : callback(answer)),
          () => callback({ code: 13, details: 'the call failed' }),
        );
      },
    },
  };
}

type SdsCall<Request> = ServerDuplexStream<Request, Uint8Array>;
type StreamKind<Request> = new (options: SdsStreamOptions) => SdsStream<Request>;

async function serve<Request>(
  options: SdsOptions,
  call: SdsCall<Request>,
  method: string,
  Kind: StreamKind<Request>,
): Promise<void> {
  const { admission, streams, identities, report } = options;
  // 1. who asks, by the kernel's word as everywhere; Envoy sends no header of the Workload API
  const workload = await admission.admit(call, method);
  if (!workload.ok) return void call.emit('error', refusalOf(workload));
  if (call.cancelled) return;
  // 2. requests and changes take turns: each may be reason for an answer
  const held = { entries: workload.entries };
  const { process } = workload.attested;
  const stream = new Kind({ held, process, identities, report });
  let isOver = false;
  function end(refusal: CallRefusal): void {
    if (isOver) return;
    isOver = true;
    call.emit('error', refusal);
  }
  function answer(): void {
    if (isOver || call.writableNeedDrain) return;
    const next = stream.answer();
    if (next === undefined) return;
    if (!(next instanceof Uint8Array)) {
      end(next);
      return;
    }
    report.sent();
    call.write(next);
  }
  call.on('data', (request: Request) => {
    const wrong = stream.asked(request);
    if (wrong !== undefined) return end(wrong);
    answer();
  });
  call.on('drain', answer);
  call.once('end', () => call.end());
  const unfollow = streams.follow(
    {
      attested: workload.attested,
      update(entries) {
        held.entries = entries;
        answer();
      },
      refuse(refusal) {
        admission.count(method, refusal);
        end(refusalOf(refusal));
      },
    },
    workload,
  );
  // 3. until it hangs up
  call.once('cancelled', unfollow);
  call.once('close', unfollow);
}

async function fetchSecrets(
  { admission, identities }: SdsOptions,
  call: ServerUnaryCall<DiscoveryRequest, Uint8Array>,
): Promise<Uint8Array | CallRefusal> {
  const workload = await admission.admit(call, 'FetchSecrets');
  if (!workload.ok) return refusalOf(workload);
  const { resourceNames, typeUrl, node } = call.request;
  const wrong = wrongType(typeUrl) ?? tooMany(resourceNames);
  if (wrong !== undefined) return wrong;
  const held = identities.of(workload.entries);
  if (!held.ok) return refusalOf(held);
  const names = resourceNames.length === 0 ? undefined : new Set(resourceNames);
  const secrets = secretsOf({ names, node }, held, identities);
  const missing = missingOf(resourceNames, secrets);
  if (missing !== undefined) return missing;
  return sdsMessages.response.encode({
    versionInfo: secrets.map(({ version }) => version).join('-'),
    resources: secrets.map(({ bytes }) => ({ typeUrl: secretType, value: bytes })),
    typeUrl: secretType,
    nonce: '',
  });
}
