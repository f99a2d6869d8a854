import { CountersignError } from '@countersign/base';
import { type PeerPattern, wrongWithPattern } from '@countersign/gateway';

/**
 * Who is meant by flags such as `--allow-uri`.
 *
 * @throws CountersignError ERR_USAGE
 */
export function patternsOf(
  lists: Readonly<Record<PeerPattern['kind'], readonly string[] | undefined>>,
  flag: '--allow' | '--verify',
): readonly PeerPattern[] {
  return Object.entries(lists).flatMap(([name, texts = []]) => {
    const kind = name as PeerPattern['kind'];
    return texts.map((text) => {
      const wrong = wrongWithPattern({ kind, text });
      if (wrong === undefined) return { kind, text };
      throw new CountersignError('ERR_USAGE', `${flag}-${kind} "${text}": ${wrong}`);
    });
  });
}
