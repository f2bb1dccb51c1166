/** Random numbers that a seed repeats (xorshift32, Marsaglia 2003). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b9) ^ 0x6d2b79f5) >>> 0 || 1;
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  /** Shuffles in place (Fisher and Yates). */
  shuffle(numbers: Uint32Array): Uint32Array {
    for (let i = numbers.length - 1; i > 0; i--) {
      const k = this.below(i + 1);
      const number = numbers[i] ?? 0;
      numbers[i] = numbers[k] ?? 0;
      numbers[k] = number;
    }
    return numbers;
  }
}
