import { type Clock, CountersignError, messageOf, systemClock } from '@countersign/base';

/** What we use of `@aws-sdk/client-acm-pca`. */
export interface AwsPcaSdk {
  readonly ACMPCAClient: new (options: {
    readonly region: string;
    readonly endpoint?: string;
  }) => AwsPcaConnection;
  readonly DescribeCertificateAuthorityCommand: AwsCommand;
  readonly IssueCertificateCommand: AwsCommand;
  readonly GetCertificateCommand: AwsCommand;
  readonly GetCertificateAuthorityCertificateCommand: AwsCommand;
}

type AwsCommand = new (input: Readonly<Record<string, unknown>>) => object;

interface AwsPcaConnection {
  send(command: object, options: { readonly abortSignal: AbortSignal }): Promise<AwsPcaAnswer>;
  destroy(): void;
}

export interface AwsPcaAnswer {
  readonly CertificateArn?: string;
  readonly Certificate?: string;
  readonly CertificateChain?: string;
  readonly CertificateAuthority?: {
    readonly CertificateAuthorityConfiguration?: { readonly KeyAlgorithm?: string };
  };
}

export interface AwsPcaClientOptions {
  readonly region: string;
  /** Another address of the service, such as a VPC endpoint. */
  readonly endpoint?: string | undefined;
  /** For each call, repetitions by the SDK included. 15,000 unless given. */
  readonly timeoutMs?: number | undefined;
  /** Where the SDK comes from; the package unless given, which only those install who use the service. */
  readonly load?: (() => Promise<AwsPcaSdk>) | undefined;
  readonly clock?: Clock;
}

/** What is answered while the certificate is not made yet. */
const pendingName = 'RequestInProgressException';
const pollMs = { first: 200, most: 3000 } as const;
/** For a certificate, from the order on. */
const patienceMs = 120_000;

/** Calls to AWS Private CA. Credentials are found as the SDK finds them. */
export class AwsPcaClient {
  readonly title: string;
  readonly #options: AwsPcaClientOptions;
  #connected: Promise<{ sdk: AwsPcaSdk; connection: AwsPcaConnection }> | undefined;

  constructor(options: AwsPcaClientOptions) {
    this.#options = options;
    this.title = `AWS Private CA in ${options.region}`;
  }

  /** @throws CountersignError ERR_ISSUER_CONFIG, ERR_ISSUER_REFUSED, ERR_ISSUER_UNREACHABLE */
  async send(
    attempted: string,
    name: Exclude<keyof AwsPcaSdk, 'ACMPCAClient'>,
    input: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<AwsPcaAnswer> {
    const what = `${attempted} at ${this.title}`;
    this.#connected ??= this.#connect();
    const { sdk, connection } = await this.#connected.catch((thrown: unknown) => {
      this.#connected = undefined;
      throw thrown;
    });
    const timeout = AbortSignal.timeout(this.#options.timeoutMs ?? 15_000);
    const abortSignal = AbortSignal.any([signal, timeout]);
    try {
      return await connection.send(new sdk[name](input), { abortSignal });
    } catch (thrown) {
      if (signal.aborted) throw signal.reason;
      throw explain(what, thrown);
    }
  }

  /** A certificate that was ordered, once it is made. */
  async certificate(authority: string, arn: string, signal: AbortSignal): Promise<AwsPcaAnswer> {
    const { clock = systemClock } = this.#options;
    const input = { CertificateAuthorityArn: authority, CertificateArn: arn };
    const until = clock.monotonic() + patienceMs;
    for (let waitMs: number = pollMs.first; ; waitMs = Math.min(waitMs * 2, pollMs.most)) {
      try {
        return await this.send('fetch the certificate', 'GetCertificateCommand', input, signal);
      } catch (thrown) {
        const cause = (thrown as { cause?: { name?: unknown } }).cause;
        if (cause?.name !== pendingName || clock.monotonic() > until) throw thrown;
      }
      await clock.sleep(waitMs, { signal });
    }
  }

  /** Of the authority itself. */
  authorityCertificate(authority: string, signal: AbortSignal): Promise<AwsPcaAnswer> {
    return this.send(
      "fetch the authority's certificate",
      'GetCertificateAuthorityCertificateCommand',
      { CertificateAuthorityArn: authority },
      signal,
    );
  }

  close(): void {
    void this.#connected?.then(({ connection }) => connection.destroy()).catch(() => {});
  }

  async #connect() {
    const { region, endpoint, load = loadSdk } = this.#options;
    const sdk = await load();
    const connection = new sdk.ACMPCAClient({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
    });
    return { sdk, connection };
  }
}

async function loadSdk(): Promise<AwsPcaSdk> {
  const name = '@aws-sdk/client-acm-pca';
  try {
    return (await import(name)) as AwsPcaSdk;
  } catch (thrown) {
    const message = `use AWS Private CA: the package "${name}" is not installed`;
    throw new CountersignError('ERR_ISSUER_CONFIG', message, {
      hint: `npm install ${name}`,
      cause: thrown,
    });
  }
}

/** The service's own word for its refusal; whatever has no answer of it is unreachable. */
function explain(what: string, thrown: unknown): CountersignError {
  const { name, $metadata } = Object(thrown) as {
    name?: unknown;
    $metadata?: { httpStatusCode?: number };
  };
  const status = $metadata?.httpStatusCode;
  const isRefusal = status !== undefined && status >= 400 && status < 500 && status !== 429;
  const isCredentials = name === 'CredentialsProviderError';
  const code = isRefusal
    ? 'ERR_ISSUER_REFUSED'
    : isCredentials
      ? 'ERR_ISSUER_SECRET'
      : 'ERR_ISSUER_UNREACHABLE';
  const said = typeof name === 'string' && name !== 'Error' ? `${name}: ` : '';
  const message = `${what}: ${said}${messageOf(thrown).slice(0, 300)}`;
  return new CountersignError(code, message, { cause: thrown });
}
