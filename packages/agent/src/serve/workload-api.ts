import { type Denial, denial, type Log } from '@countersign/base';
import type { TrustBundle } from '@countersign/spiffe';
import type { Entry } from '../entries/entry.ts';
import { type GrpcMethod, type MethodShape, serverStream, unary } from '../grpc/grpc-method.ts';
import { callStatus } from '../grpc/grpc-status.ts';
import type { ServerCall } from '../grpc/server-call.ts';
import type { JwtCache } from '../jwt/jwt-cache.ts';
import { fetchJwtSvid, jwtBundles, validateJwtSvid } from '../jwt/jwt-methods.ts';
import {
  type HeldIdentities,
  type HeldIdentity,
  isPending,
  joinedDer,
} from '../svids/held-identities.ts';
import type { Admission, Workload } from './admit-workload.ts';
import type { LiveStream, LiveStreams } from './live-streams.ts';
import { refusalOf } from './refuse-call.ts';
import { workloadMessages, workloadMethods } from './workload-messages.ts';

export interface WorkloadApiOptions {
  readonly admission: Admission;
  readonly streams: LiveStreams;
  readonly identities: HeldIdentities;
  readonly tokens: JwtCache;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly log: Log;
}

type Answer = { readonly ok: true; readonly key: string; readonly bytes: Uint8Array } | Denial;

/** The SPIFFE Workload API: who calls is found out, never asked; each answer is what its entries give. */
export function workloadApi(options: WorkloadApiOptions): readonly GrpcMethod[] {
  const { identities } = options;

  const streamed = (
    name: StreamedMethod,
    method: string,
    answer: (entries: readonly Entry[]) => Answer,
  ) =>
    serverStream(workloadMethods[name], (call) => void followCall(options, call, method, answer));

  return [
    streamed('fetchX509Svid', 'FetchX509SVID', function x509Svids(entries) {
      const held = identities.of(entries);
      if (!held.ok) return held;
      const bytes = identities.written('x509-svids', held.key, () =>
        workloadMessages.x509SvidResponse.encode({
          svids: held.identities.map((identity) => x509SvidOf(identity, held.own)),
          federatedBundles: byTrustDomain(held.foreign),
        }),
      );
      return { ok: true, key: held.key, bytes };
    }),
    streamed('fetchX509Bundles', 'FetchX509Bundles', function x509Bundles(entries) {
      const { own, foreign, key } = identities.bundlesFor(entries);
      const bytes = identities.written('x509-bundles', key, () =>
        workloadMessages.x509BundlesResponse.encode({ bundles: byTrustDomain([own, ...foreign]) }),
      );
      return { ok: true, key, bytes };
    }),
    streamed('fetchJwtBundles', 'FetchJWTBundles', (entries) => jwtBundles(entries, identities)),
    once(options, workloadMethods.fetchJwtSvid, 'FetchJWTSVID', fetchJwtSvid),
    once(options, workloadMethods.validateJwtSvid, 'ValidateJWTSVID', validateJwtSvid),
    serverStream(workloadMethods.fetchWitSvid, refuseUnsupported),
    serverStream(workloadMethods.fetchWitBundles, refuseUnsupported),
  ];
}

type StreamedMethod = 'fetchX509Svid' | 'fetchX509Bundles' | 'fetchJwtBundles';

/** Whether the caller meant to call a Workload API: whoever is made to forward a request cannot set it. */
function checkHeader(call: ServerCall): { readonly ok: true } | Denial {
  // Workload Endpoint §3: the server must refuse a request without this key.
  const value = call.header('workload.spiffe.io');
  if (value === 'true') return { ok: true };
  const shown = value === undefined ? 'absent' : `"${value.slice(0, 80)}"`;
  return denial('ERR_AGENT_HEADER', `metadata "workload.spiffe.io" is ${shown}, expected "true"`);
}

/** A call that is answered again whenever the answer changes. */
async function followCall(
  { admission, streams }: WorkloadApiOptions,
  call: ServerCall,
  method: string,
  answerOf: (entries: readonly Entry[]) => Answer,
): Promise<void> {
  // 1. it must be meant for us, and its process entitled to something
  const workload = await admitCall(admission, call, method);
  if (!workload.ok) return call.end(refusalOf(workload));
  if (call.isOver) return;
  // 2. what its entries give, now and at every change; a reader that is behind gets the newest once it has caught up
  let sent: string | undefined;
  let owed: readonly Entry[] | undefined;
  const stream: LiveStream = {
    attested: workload.attested,
    update(entries) {
      const answer = answerOf(entries);
      // What was sent stays good while the next is on its way; before anything was sent, a client does better elsewhere.
      if (!answer.ok) {
        if (sent === undefined && !isPending(answer)) stream.refuse(answer);
        return;
      }
      if (answer.key === sent) return;
      owed = call.isBehind ? entries : undefined;
      if (owed !== undefined) return;
      sent = answer.key;
      call.send(answer.bytes);
    },
    refuse(refusal) {
      admission.count(method, refusal);
      call.end(refusalOf(refusal));
    },
  };
  call.onDrain = () => {
    if (owed !== undefined) stream.update(owed);
  };
  const unfollow = streams.follow(stream, workload);
  // 3. until it hangs up
  call.onOver(unfollow);
}

/** A call that is answered once. */
function once<Request>(
  options: WorkloadApiOptions,
  shape: MethodShape<Request>,
  method: string,
  answer: (
    request: Request,
    workload: Workload,
    options: WorkloadApiOptions,
  ) => Promise<Uint8Array | Denial>,
): GrpcMethod {
  return unary(shape, async function answerOnce(call, request) {
    const workload = await admitCall(options.admission, call, method);
    const answered = workload.ok ? await answer(request, workload, options) : workload;
    return answered instanceof Uint8Array ? answered : refusalOf(answered);
  });
}

async function admitCall(
  admission: Admission,
  call: ServerCall,
  method: string,
): Promise<Workload | Denial> {
  const header = checkHeader(call);
  if (header.ok) return admission.admit(call, method);
  admission.count(method, header);
  return header;
}

function x509SvidOf({ entry, svid }: HeldIdentity, own: TrustBundle) {
  return {
    spiffeId: svid.spiffeId.toString(),
    x509Svid: joinedDer(svid.chain),
    x509SvidKey: svid.privateKey.export({ format: 'der', type: 'pkcs8' }),
    bundle: joinedDer(own.authorities),
    hint: entry.hint,
  };
}

function byTrustDomain(bundles: readonly TrustBundle[]): Record<string, Uint8Array> {
  // A trust domain with keys for tokens alone proves no certificate, and clients take no empty bundle.
  const proving = bundles.filter(({ authorities }) => authorities.length > 0);
  return Object.fromEntries(
    proving.map((bundle) => [`spiffe://${bundle.trustDomain}`, joinedDer(bundle.authorities)]),
  );
}

/** Of the WIT-SVID profile; a client that tries it goes on without. */
function refuseUnsupported(call: ServerCall): void {
  call.end(callStatus('unimplemented', 'the WIT-SVID profile is not supported'));
}
