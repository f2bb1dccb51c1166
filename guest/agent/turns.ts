/** Work that is done one piece at a time: two lists at once would each take twice as long and twice the memory. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Does it when all earlier work has ended, well or not. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
