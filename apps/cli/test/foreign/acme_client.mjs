// Walks npm's acme-client through an ACME server: registers, proves names by each challenge, replaces the account's key,
// revokes, and ends the account. Challenges are answered by pebble-challtestsrv. Prints a line for each step.
//
//   node acme_client.mjs DIRECTORY-OF-THE-PACKAGE ACME-DIRECTORY CHALLTESTSRV, with NODE_EXTRA_CA_CERTS
import { createRequire } from 'node:module';

const [home, directoryUrl, server] = process.argv.slice(2);
const acme = createRequire(`${home}/`)('acme-client');
// It believes what it sees itself, by the machine's resolver: here the server alone looks.
const skipChallengeVerification = true;

const say = (line) => process.stdout.write(`${line}\n`);
const accountKey = await acme.crypto.createPrivateEcdsaKey();
const client = new acme.Client({ directoryUrl, accountKey });
await client.createAccount({ termsOfServiceAgreed: true, contact: ['mailto:ops@example.test'] });
say(`registered ${client.getAccountUrl()}`);

const tell = async (path, body) => {
  const answer = await fetch(`${server}${path}`, { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
};
const answers = {
  'http-01': (_, { token }, content) => tell('/add-http01', { token, content }),
  'dns-01': ({ identifier }, _, value) =>
    tell('/set-txt', { host: `_acme-challenge.${identifier.value}.`, value }),
  // challtestsrv makes the certificate, of the key authorization itself
  'tls-alpn-01': async ({ identifier }, { token }) =>
    tell('/add-tlsalpn01', {
      host: identifier.value,
      content: await client.getChallengeKeyAuthorization({ type: 'http-01', token }),
    }),
};

async function issue(kind, names) {
  const [key, csr] = await acme.crypto.createCsr({ altNames: names });
  const pem = await client.auto({
    csr,
    termsOfServiceAgreed: true,
    skipChallengeVerification,
    challengePriority: [kind],
    challengeCreateFn: (authorization, challenge, content) =>
      answers[kind](authorization, challenge, content),
    challengeRemoveFn: async () => {},
  });
  const { domains } = acme.crypto.readCertificateInfo(pem);
  say(`issued ${kind} ${[domains.commonName, ...domains.altNames].filter(Boolean).join(' ')}`);
  return { key, pem };
}

await issue('http-01', ['http.npm.example.test', 'www.npm.example.test']);
await issue('dns-01', ['*.dns.npm.example.test']);
await issue('tls-alpn-01', ['alpn.npm.example.test']);
const { pem } = await issue('http-01', ['http.npm.example.test']);

await client.updateAccountKey(await acme.crypto.createPrivateEcdsaKey());
await client.updateAccount({ contact: ['mailto:other@example.test'] });
say('another key');
await client.revokeCertificate(pem, { reason: 4 });
say('revoked');
await client.updateAccount({ status: 'deactivated' });
say('deactivated');
