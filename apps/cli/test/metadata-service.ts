import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface MetadataAnswers {
  /** Base64, in lines. */
  readonly aws?: () => Promise<string>;
  readonly gcp?: (audience: string) => string;
  readonly azure?: (nonce: string) => Promise<string>;
  readonly azureToken?: (resource: string) => string;
}

/** What machines of three clouds are told, as their metadata services tell it, on a real server. */
export async function startMetadata(t: TestContext, answers: MetadataAnswers): Promise<string> {
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://metadata');
    const has = (name: string, value: string) => request.headers[name] === value;
    const key = `${request.method} ${pathname}`;
    const refuse = (status: number) => response.writeHead(status).end();
    if (key === 'PUT /latest/api/token') {
      if (!has('x-aws-ec2-metadata-token-ttl-seconds', '60')) return refuse(400);
      return response.end('session-of-a-minute');
    }
    if (key === 'GET /latest/dynamic/instance-identity/rsa2048') {
      if (!has('x-aws-ec2-metadata-token', 'session-of-a-minute')) return refuse(401);
      return response.end(await answers.aws?.());
    }
    if (key === 'GET /computeMetadata/v1/instance/service-accounts/default/identity') {
      if (!has('metadata-flavor', 'Google')) return refuse(403);
      response.setHeader('Metadata-Flavor', 'Google');
      if (searchParams.get('format') !== 'full') return refuse(400);
      return response.end(answers.gcp?.(searchParams.get('audience') ?? ''));
    }
    if (!has('metadata', 'true')) return refuse(400);
    if (key === 'GET /metadata/attested/document') {
      const signature = await answers.azure?.(searchParams.get('nonce') ?? '');
      return response.end(JSON.stringify({ encoding: 'pkcs7', signature }));
    }
    if (key === 'GET /metadata/identity/oauth2/token') {
      const access_token = answers.azureToken?.(searchParams.get('resource') ?? '');
      return response.end(JSON.stringify({ access_token, token_type: 'Bearer' }));
    }
    return refuse(404);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
