/**
 * Who has connected and has not greeted yet. There is room for a few; when it is full, whoever comes next gets in and
 * another one goes, so that those who sit and say nothing keep nobody out. It goes from the address that has the most, the
 * oldest first, so that a flood from one address displaces itself; who has shown the key or a certificate goes last.
 */
export interface Waiting {
  readonly address: string;
  /** Has shown that it is an engine, though it has not greeted yet. */
  isAuthenticated: boolean;
}

export class WaitingRoom<W extends Waiting> {
  readonly #places: number;
  /** Oldest first. */
  readonly #waiting = new Set<W>();

  constructor(places: number) {
    this.#places = places;
  }

  get all(): readonly W[] {
    return [...this.#waiting];
  }

  /** Lets one in; returns the one that has to go for it. */
  enter(entering: W): W | undefined {
    const leaving = this.#waiting.size < this.#places ? undefined : this.#leastWelcome();
    if (leaving !== undefined) this.#waiting.delete(leaving);
    this.#waiting.add(entering);
    return leaving;
  }

  leave(leaving: W): void {
    this.#waiting.delete(leaving);
  }

  #leastWelcome(): W | undefined {
    const strangers = this.all.filter(({ isAuthenticated }) => !isAuthenticated);
    const candidates = strangers.length > 0 ? strangers : this.all;
    const counts = new Map<string, number>();
    for (const { address } of candidates) counts.set(address, (counts.get(address) ?? 0) + 1);
    const most = Math.max(...counts.values());
    return candidates.find(({ address }) => counts.get(address) === most);
  }
}
