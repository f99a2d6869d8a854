import { z } from 'zod';
import { durationSchema } from './duration-schema.ts';

const word = z.string().min(1).max(2048);
const url = z.string().regex(/^https?:\/\//, 'expected a URL that begins with https://');

/** Secrets stand in files and in variables, never in a configuration. */
const secret = z
  .strictObject({
    file: word.optional(),
    env: z
      .string()
      .regex(/^[A-Za-z_]\w*$/)
      .optional(),
  })
  .refine(
    ({ file, env }) => (file === undefined) !== (env === undefined),
    'expected "file" or "env", one of both',
  );

const vaultAuth = oneOf(
  {
    token: secret,
    approle: z.strictObject({
      role_id: secret,
      secret_id: secret.optional(),
      mount: word.optional(),
    }),
    kubernetes: z.strictObject({ role: word, jwt: secret.optional(), mount: word.optional() }),
    jwt: z.strictObject({ role: word, jwt: secret, mount: word.optional() }),
    cert: z.strictObject({
      ...{ cert_file: word, key_file: word, name: word.optional(), mount: word.optional() },
    }),
  },
  {},
);

/** Where PKI engine, authority or server is, and how a caller proves to it who it is; paths are relative to the file. */
const signers = {
  /** Vault or OpenBao. */
  vault: z.strictObject({
    url,
    mount: word.optional(),
    role: word,
    namespace: word.optional(),
    auth: vaultAuth,
    /** PEM of who vouches for its TLS certificate; the roots that Node brings unless given. */
    server_roots: word.optional(),
    timeout: durationSchema().optional(),
  }),
  step_ca: z.strictObject({
    url,
    fingerprint: word,
    /** A JWK provisioner and its key, or a one-time token. */
    provisioner: word.optional(),
    key_file: word.optional(),
    password: secret.optional(),
    token: secret.optional(),
    timeout: durationSchema().optional(),
  }),
  acme: z.strictObject({
    /** Of the directory. */
    url,
    account_key: word,
    contact: z.array(z.string().startsWith('mailto:')).max(10).optional(),
    terms_agreed: z.boolean().optional(),
    external_account: z.strictObject({ kid: word, hmac: secret }).optional(),
    profile: word.optional(),
    http_01: z
      .strictObject({ port: z.int().min(1).max(65_535).optional(), address: word.optional() })
      .optional(),
    tls_alpn_01: z
      .strictObject({ port: z.int().min(1).max(65_535).optional(), address: word.optional() })
      .optional(),
    dns_01: z
      .strictObject({ command: z.array(word).min(1), timeout: durationSchema().optional() })
      .optional(),
    server_roots: word.optional(),
    timeout: durationSchema().optional(),
  }),
  aws_pca: z.strictObject({
    authority: z.string().startsWith('arn:', 'expected the ARN of the authority'),
    region: word,
    endpoint: url.optional(),
    signing_algorithm: word.optional(),
    template: z.string().startsWith('arn:').optional(),
    timeout: durationSchema().optional(),
  }),
};

/** Who has an identity ready, whatever made it. */
const givers = {
  /** A SPIFFE agent: SPIRE's, or ours. */
  workload_api: z.strictObject({
    socket: z.string().regex(/^(unix:(\/\/)?)?\/.+$/, 'expected unix:///path/of/agent.sock'),
    spiffe_id: z.string().startsWith('spiffe://').optional(),
    /** For the first identity, at the start. */
    wait: durationSchema().optional(),
  }),
  /** PEM files that somebody else renews. */
  files: z.strictObject({ key: word, cert: word, chain: word.optional(), roots: word }),
};

const kinds = { ...signers, ...givers };

/** What of an issuer's certificate is said beside the issuer. */
const wishes = {
  /** PEM of the roots that are trusted, or `system` for those that Node brings; the issuer's own word unless given. */
  roots: word.optional(),
};

const names = {
  spiffe_id: z.string().startsWith('spiffe://').optional(),
  dns: z.array(z.string().min(1).max(255)).max(100).default([]),
  ip: z.array(z.string()).max(100).default([]),
  ttl: durationSchema().optional(),
};

/** `issuer:` of whoever has one identity: whose it is, and who signs it. */
export const issuerSchema = oneOf(kinds, { ...wishes, ...names }).superRefine(
  (written, context) => {
    const { spiffe_id: spiffeId, dns, ip, ttl, roots } = written;
    const isGiven = written.workload_api !== undefined || written.files !== undefined;
    const named = {
      spiffe_id: spiffeId,
      ttl,
      roots,
      ...(dns.length + ip.length > 0 && { dns: dns }),
    };
    for (const [key, value] of Object.entries(named)) {
      if (!isGiven || value === undefined || (key === 'spiffe_id' && written.files !== undefined))
        continue;
      context.addIssue({
        code: 'custom',
        path: [key],
        message: key === 'spiffe_id' ? withinWorkloadApi : 'is decided by who gives the identity',
      });
    }
    if (!isGiven && spiffeId === undefined) {
      const message = 'spiffe_id is missing: who the certificate is to be for';
      context.addIssue({ code: 'custom', message });
    }
    checkSigner(written, context);
  },
);

const withinWorkloadApi =
  'stands in workload_api, where it chooses: workload_api: { socket: …, spiffe_id: … }';

/** An issuer that several certificates come from: their names stand elsewhere. */
export const signerSchema = oneOf(signers, wishes).superRefine(checkSigner);

const { role: _, ...vaultPlace } = signers.vault.shape;

/** `issued_by:` of an authority: another one that certifies the key of its root. */
export const superiorSchema = oneOf(
  {
    /** `issuer` is one of the mount's; its default unless given. */
    vault: z.strictObject({ ...vaultPlace, issuer: word.optional() }),
    aws_pca: signers.aws_pca,
    /** A request that is carried away, and what is carried back, ours first. */
    files: z.strictObject({ request: word, signed: word }),
  },
  { ...wishes, validity: durationSchema().optional() },
).superRefine(({ files, roots, validity }, context) => {
  const issue = (path: string[], message: string) =>
    context.addIssue({ code: 'custom', path, message });
  if (files !== undefined && roots === undefined) {
    issue([], 'roots is missing: files name none');
  }
  if (files !== undefined && validity !== undefined) {
    issue(['validity'], 'is decided by who signs the request');
  }
  if (roots === 'system') issue(['roots'], 'expected a file of the root of the other authority');
});

export type WrittenSuperior = z.output<typeof superiorSchema>;
export type WrittenIssuer = z.output<typeof issuerSchema>;
export type WrittenSigner = z.output<typeof signerSchema>;

/** What a shape cannot say. */
function checkSigner(
  { step_ca: stepCa, acme, roots }: WrittenSigner,
  context: z.RefinementCtx,
): void {
  const issue = (path: string[], message: string) =>
    context.addIssue({ code: 'custom', path, message });
  if (stepCa !== undefined) {
    const isKey = stepCa.provisioner !== undefined && stepCa.key_file !== undefined;
    const isNeither = stepCa.provisioner === undefined && stepCa.key_file === undefined;
    if (stepCa.token === undefined ? !isKey : !isNeither) {
      issue(['step_ca'], 'expected "provisioner" with "key_file", or "token"');
    }
    if (stepCa.password !== undefined && stepCa.key_file === undefined) {
      issue(['step_ca', 'password'], 'is that of a "key_file"');
    }
  }
  if (acme === undefined) return;
  const proofs = [acme.http_01, acme.tls_alpn_01, acme.dns_01].filter((each) => each !== undefined);
  if (proofs.length !== 1) {
    issue(['acme'], 'expected "http_01", "tls_alpn_01" or "dns_01", one of them');
  }
  if (roots === undefined) {
    issue([], 'roots is missing: an ACME server names none; a file, or system for public ones');
  }
}

/** An object with one of these keys, and any of the others. */
function oneOf<T extends z.ZodRawShape, More extends z.ZodRawShape>(choices: T, more: More) {
  const schema = z.strictObject(choices).partial().extend(more);
  return schema.superRefine((written, context) => {
    const chosen = Object.keys(choices).filter((key) => key in Object(written));
    if (chosen.length === 1) return;
    const found = chosen.length === 0 ? 'none' : chosen.join(' and ');
    const message = `expected one of ${Object.keys(choices).join(', ')}, found ${found}`;
    context.addIssue({ code: 'custom', message });
  });
}
