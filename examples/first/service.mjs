// Any server that reads PEM files can stand behind the gateway. This one is node:https and nothing else.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [directory, port] = process.argv.slice(2);
const file = (name) => readFileSync(`${directory}/${name}`);
const identity = { key: file('key.pem'), cert: file('chain.pem'), ca: file('bundle.pem') };

createServer({ ...identity, requestCert: true, rejectUnauthorized: true }, (request, response) => {
  // The gateway strips what the caller wrote there, so this is its word.
  response.end(`orders, called by ${request.headers['x-forwarded-client-cert']}\n`);
}).listen(Number(port), '127.0.0.1', () => console.log(`ready https://127.0.0.1:${port}`));
