// Plain HTTP both ways: it calls a port of its own machine, behind which its sidecar is.
import { createServer } from 'node:http';

const orders = process.argv[2];
const server = createServer(async (_request, response) => {
  const answer = await fetch(`${orders}/`);
  response.writeHead(answer.status).end(await answer.text());
});
server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
