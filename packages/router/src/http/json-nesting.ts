import { type Denial, denial } from '@countersign/base';

/**
 * Refuses JSON that is nested deeper than a request has use for, before it is parsed: by one pass that passes over
 * strings and ends at the limit. What is no JSON it leaves to the parser.
 */
export function judgeNesting(json: string, most: number): Denial | undefined {
  let depth = 0;
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at);
    if (code === 0x22) {
      at = endOfString(json, at);
    } else if (code === 0x5b || code === 0x7b) {
      depth += 1;
      if (depth > most) {
        const detail = `JSON nested more than ${most} levels deep`;
        return denial('ERR_GRAPHQL_LIMIT', detail, { limit: most });
      }
    } else if (code === 0x5d || code === 0x7d) depth -= 1;
  }
  return undefined;
}

/** The place of a string's last quote, or of the text's end where it has none. */
function endOfString(json: string, start: number): number {
  for (let at = json.indexOf('"', start + 1); at !== -1; at = json.indexOf('"', at + 1)) {
    let escapes = at;
    while (json.charCodeAt(escapes - 1) === 0x5c) escapes -= 1;
    if ((at - escapes) % 2 === 0) return at;
  }
  return json.length;
}
