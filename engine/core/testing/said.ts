/** What an engine says, and a way to wait for it. */
export class Said<T> {
  readonly all: T[] = [];
  readonly #waiting: (() => void)[] = [];

  readonly add = (one: T): void => {
    this.all.push(one);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  /** Settles when one of them is so. */
  async once(is: (one: T) => boolean): Promise<T> {
    for (;;) {
      const found = this.all.find(is);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}
