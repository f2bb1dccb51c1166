/**
 * How fast a VM's last dirty pages cross the migration link, which QEMU compares with its downtime limit
 * (avail-switchover-bandwidth, migration/migration.c, migration_update_counters). The engine compresses them, so that it is
 * the link's rate times the compression ratio: with the link's rate alone a VM would not be switched over although it could
 * be. Where processors let less through than the link would carry, it is that. Pure.
 */

/** The ratio of so many counters of the past, at five a second. */
const windowLength = 15;
/** Below this relative change QEMU is not told again. */
const minChange = 0.1;

interface Sent {
  readonly rawBytes: number;
  readonly linkBytes: number;
}

export class SwitchoverBandwidth {
  readonly #linkBytesPerSecond: number;
  readonly #window: Sent[] = [];
  #told: number;

  /** @param linkBytesPerSecond payload that the link carries, and what QEMU was told first */
  constructor(linkBytesPerSecond: number) {
    this.#linkBytesPerSecond = linkBytesPerSecond;
    this.#told = linkBytesPerSecond;
  }

  /**
   * Takes the source engine's counters (record/engine-event.ts); gives what to tell QEMU, in bytes per second, if
   * that has changed.
   */
  update(counters: Readonly<Record<string, unknown>>): number | undefined {
    const linkBytes = counters['migration_link_bytes'];
    const ratio = counters['compression_ratio_total'];
    if (typeof linkBytes !== 'number' || typeof ratio !== 'number') return undefined;
    const now = { linkBytes, rawBytes: linkBytes * ratio };
    const first = this.#window[0];
    this.#window.push(now);
    if (this.#window.length > windowLength) this.#window.shift();
    if (first === undefined || now.linkBytes === first.linkBytes) return undefined;
    const recentRatio = (now.rawBytes - first.rawBytes) / (now.linkBytes - first.linkBytes);
    const carry = counters['processors_carry_bytes_per_second'];
    const most = typeof carry === 'number' && carry > 0 ? carry : Infinity;
    const bytesPerSecond = Math.round(Math.min(this.#linkBytesPerSecond * Math.max(1, recentRatio), most));
    if (Math.abs(bytesPerSecond - this.#told) < minChange * this.#told) return undefined;
    this.#told = bytesPerSecond;
    return bytesPerSecond;
  }
}
