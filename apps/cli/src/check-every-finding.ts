import { ConfigError, type ConfigIssue, parseYamlDocuments } from '@countersign/config';

type Path = readonly (string | number)[];

/** Each round takes at least one value away. */
const mostRounds = 100;

/**
 * Everything that is wrong with a file, where its reader stops at what it meets first: what is wrong is taken away, and
 * the rest is read again, until nothing new is found. What only follows from that something is away is not told.
 *
 * @param read throws a ConfigError with what it found
 * @param thrown what it found in the text as it is
 */
export async function everyIssue(
  text: string,
  file: string,
  thrown: ConfigError,
  read: (text: string) => Promise<unknown>,
): Promise<readonly ConfigIssue[]> {
  const found = [...thrown.issues];
  if (thrown.file !== file || thrown.code === 'ERR_CONFIG_SYNTAX') return found;
  const [document, second] = parseYamlDocuments(text, file);
  // Issues do not say which of several documents they are about.
  if (document === undefined || second !== undefined) return found;
  const rest = new Remainder(document.value);
  const away: Path[] = [];
  let issues: readonly ConfigIssue[] = thrown.issues;
  for (let round = 0; round < mostRounds; round += 1) {
    // 1. away with what was found, or with what holds it where that is away already; from the end of the file, so that
    // items of lists keep their places until it is their turn
    const paths = issues.map(({ path }) => rest.pathOf(path)).toReversed();
    const taken = paths.map((path) => rest.takeAway(path)).filter((path) => path !== undefined);
    if (taken.length === 0) break;
    away.push(...taken);
    // 2. the rest, again
    const next = await issuesOf(() => read(rest.text()), file);
    if (next === undefined) break;
    issues = next;
    for (const issue of issues) {
      const path = rest.original(rest.pathOf(issue.path));
      if (follows(issue, path, away)) continue;
      const which = issue.code === 'ERR_CONFIG_UNKNOWN_KEY' ? 'key' : 'value';
      const written = path.join('.');
      const message = issue.message.replace(issue.path, written);
      found.push({ ...issue, message, path: written, ...document.positionOf(path, which) });
    }
  }
  return found.toSorted((a, b) => a.line - b.line || a.column - b.column);
}

/** Undefined where there are none, or where the reader stops at something that is not in the file. */
async function issuesOf(
  read: () => Promise<unknown>,
  file: string,
): Promise<readonly ConfigIssue[] | undefined> {
  try {
    await read();
    return undefined;
  } catch (thrown) {
    return thrown instanceof ConfigError && thrown.file === file ? thrown.issues : undefined;
  }
}

/** What is left of a document, whose items of lists know which they were. */
class Remainder {
  readonly #root: unknown;
  readonly #places = new WeakMap<readonly unknown[], number[]>();

  constructor(value: unknown) {
    this.#root = structuredClone(value);
  }

  /** JSON is YAML, too. */
  text(): string {
    return JSON.stringify(this.#root);
  }

  /** Of the dotted form; a key may have dots of its own. */
  pathOf(dotted: string): Path {
    const path: (string | number)[] = [];
    let [rest, value] = [dotted, this.#root];
    while (rest !== '') {
      const keys = Object.keys(Object(value)).filter(
        (key) => rest === key || rest.startsWith(`${key}.`),
      );
      const key = keys.toSorted((a, b) => b.length - a.length)[0] ?? rest.slice(0, firstEnd(rest));
      path.push(Array.isArray(value) ? Number(key) : key);
      value = Object(value)[key];
      rest = rest.slice(key.length + 1);
    }
    return path;
  }

  /** Where it stands in the whole document. */
  original(path: Path): Path {
    return path.map((key, index) => {
      const holder = this.#at(path.slice(0, index));
      return Array.isArray(holder) ? (this.#placesOf(holder)[Number(key)] ?? key) : key;
    });
  }

  /**
   * Removes the innermost value on the path that is still there.
   *
   * @returns what was removed, as {@link original} has it
   */
  takeAway(path: Path): Path | undefined {
    for (let length = path.length; length > 0; length -= 1) {
      const key = path[length - 1] ?? '';
      const holder = this.#at(path.slice(0, length - 1));
      if (holder === null || typeof holder !== 'object' || !Object.hasOwn(holder, key)) continue;
      const removed = this.original(path.slice(0, length));
      if (Array.isArray(holder)) {
        this.#placesOf(holder).splice(Number(key), 1);
        holder.splice(Number(key), 1);
      } else {
        delete (holder as Record<string, unknown>)[key];
      }
      return removed;
    }
    return undefined;
  }

  #placesOf(list: readonly unknown[]): number[] {
    const known = this.#places.get(list) ?? [...list.keys()];
    this.#places.set(list, known);
    return known;
  }

  #at(path: Path): unknown {
    return path.reduce((value, key) => Object(value)[key] as unknown, this.#root);
  }
}

/** Where nothing is left that could tell, a dot ends a key. */
function firstEnd(dotted: string): number | undefined {
  const at = dotted.indexOf('.');
  return at === -1 ? undefined : at;
}

/** Whether it is about something that was taken away, or compares with it. */
function follows({ message }: ConfigIssue, path: Path, away: readonly Path[]): boolean {
  return away.some((gone) => {
    const isWithin = startsWith(path, gone) || startsWith(gone, path);
    const beside =
      typeof gone.at(-1) === 'string' &&
      startsWith(path, gone.slice(0, -1)) &&
      path.length === gone.length;
    const name = String(gone.at(-1)).replaceAll(/[^\w-]/g, '.');
    return isWithin || (beside && new RegExp(`(?<![\\w.])${name}(?!\\w)`).test(message));
  });
}

function startsWith(path: Path, start: Path): boolean {
  return start.every((key, index) => String(path[index]) === String(key));
}
