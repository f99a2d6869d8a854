/**
 * Why a modulus can be factored by anybody, as the end of a sentence; undefined where none of the known ways applies.
 * About 0.1 ms for 2,048 bits.
 */
export function wrongWithModulus(modulus: bigint): string | undefined {
  const factor = smallPrimes.find((prime) => modulus % BigInt(prime) === 0n);
  if (factor !== undefined) return `is divisible by ${factor}`;
  if (hasRocaFingerprint(modulus)) {
    return 'has the fingerprint of ROCA (CVE-2017-15361): a chip of Infineon made it';
  }
  const rounds = fermatRounds(modulus, mostFermatRounds);
  return rounds === undefined
    ? undefined
    : `has primes so close that Fermat's method finds them in ${rounds} steps (CVE-2022-26320)`;
}

/** As far as CA/B BR 6.1.6 asks for: no factor below 752. */
const smallPrimes = primesUpTo(751);

/** CA/B BR 6.1.1.3 asks for 100. */
const mostFermatRounds = 100;

/**
 * Nemec et al., "The Return of Coppersmith's Attack" (CCS 2017) §2.2: the library makes primes that are powers of 65537
 * modulo every small prime, so the modulus is one, too. Of other keys 1 in 2^27 is.
 */
function hasRocaFingerprint(modulus: bigint): boolean {
  return rocaPowers.every(({ prime, powers }) => powers.has(Number(modulus % BigInt(prime))));
}

const rocaGenerator = 65_537;
const rocaPowers = primesUpTo(167)
  .slice(1)
  .map((prime) => {
    const powers = new Set<number>();
    for (let power = 1; !powers.has(power); power = (power * rocaGenerator) % prime) {
      powers.add(power);
    }
    return { prime, powers };
  });

/** The number of steps in which p and q are found from the square root outwards, or undefined. */
function fermatRounds(modulus: bigint, most: number): number | undefined {
  let a = squareRoot(modulus);
  if (a * a < modulus) a += 1n;
  let rest = a * a - modulus;
  for (let round = 1; round <= most; round += 1) {
    if (isSquare(rest)) return round;
    rest += 2n * a + 1n;
    a += 1n;
  }
  return undefined;
}

function isSquare(value: bigint): boolean {
  // Most numbers are no square modulo these: cheaper than a root.
  if (!squares64.has(Number(value & 63n))) return false;
  const rest = Number(value % 45_045n);
  if (!squares63.has(rest % 63) || !squares65.has(rest % 65) || !squares11.has(rest % 11)) {
    return false;
  }
  const root = squareRoot(value);
  return root * root === value;
}

const [squares64, squares63, squares65, squares11] = [64, 63, 65, 11].map(
  (base) => new Set(Array.from({ length: base }, (_, i) => (i * i) % base)),
) as [Set<number>, Set<number>, Set<number>, Set<number>];

/** Rounded down, by Newton's method. */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  const bits = value.toString(16).length * 4;
  let root = 1n << BigInt(Math.ceil(bits / 2));
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

function primesUpTo(limit: number): number[] {
  const primes: number[] = [];
  for (let n = 2; n <= limit; n += 1) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}
