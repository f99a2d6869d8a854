import { CountersignError, messageOf, nodeHttp } from '@countersign/base';

export interface MetadataAsk {
  readonly url: string;
  readonly method?: 'GET' | 'PUT';
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export interface MetadataAnswer {
  readonly text: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

const timeoutMs = 5000;
const mostOctets = 64 * 1024;

/**
 * One answer of a metadata service. Redirects are not followed, and no proxy is asked.
 *
 * @throws CountersignError ERR_EVIDENCE_METADATA
 */
export async function askMetadata(asked: MetadataAsk): Promise<MetadataAnswer> {
  const { url, method = 'GET', headers } = asked;
  try {
    const signal = AbortSignal.any([asked.signal, AbortSignal.timeout(timeoutMs)]);
    return await new Promise<MetadataAnswer>((resolve, reject) => {
      const outgoing = nodeHttp().request(url, { method, headers, agent: false, signal });
      outgoing.once('error', reject);
      outgoing.once('response', async (answer) => {
        const parts: Buffer[] = [];
        let length = 0;
        try {
          for await (const part of answer) {
            parts.push(part as Buffer);
            length += (part as Buffer).byteLength;
            if (length > mostOctets) throw new Error(`more than ${mostOctets} octets`);
          }
          const text = Buffer.concat(parts).toString('utf8').trim();
          if (answer.statusCode === 200) resolve({ text, headers: answer.headers });
          else reject(new Error(`answered ${answer.statusCode}: ${text.slice(0, 200)}`));
        } catch (thrown) {
          reject(thrown);
        } finally {
          outgoing.destroy();
        }
      });
      outgoing.end();
    });
  } catch (thrown) {
    const message = `ask the metadata service at "${url}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_EVIDENCE_METADATA', message, { cause: thrown });
  }
}
