// Any server that reads PEM files can stand behind the gateway. This one is node:https and nothing else.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [directory, port] = process.argv.slice(2);
const file = (name) => readFileSync(`${directory}/${name}`);
const identity = { key: file('key.pem'), cert: file('chain.pem'), ca: file('bundle.pem') };

const gateway = 'spiffe://example.com/gateway';

createServer({ ...identity, requestCert: true, rejectUnauthorized: true }, (request, response) => {
  // Whoever has a certificate of the trust domain gets this far; the word of the gateway alone counts.
  if (!isFrom(gateway, request.socket)) return response.writeHead(403).end(`only for ${gateway}\n`);
  // The gateway strips what the caller wrote there, so this is its word.
  response.end(`orders, called by ${request.headers['x-forwarded-client-cert']}\n`);
}).listen(Number(port), '127.0.0.1', () => console.log(`ready https://127.0.0.1:${port}`));

function isFrom(spiffeId, socket) {
  const { subjectaltname: names = '' } = socket.getPeerCertificate();
  // Node quotes names that have a comma; what is quoted is nobody we know.
  return !names.includes('"') && names.split(', ').includes(`URI:${spiffeId}`);
}
