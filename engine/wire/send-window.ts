/**
 * How much may be under way between source QEMU and target. Everything beyond it waits in QEMU, which therefore sees the
 * link as it is, and at the switchover only little is left to deliver. Pure: time comes with the events.
 */

/** Even a slow link gets so much at once. */
const minBytes = 256 * 1024;
const maxBytes = 16 * 1024 * 1024;
/** What may be under way, as time on the link: as little as keeps the link busy. */
const minDepthMs = 30;
const maxDepthMs = 150;
/**
 * While the switchover is barred, what is under way makes no downtime. Hosts without a processor to spare need more, because
 * a frame waits for each of the threads and processes on its way, while the link may have nothing to carry.
 */
const barredDepthMs = 150;
/** While the VM waits, for its move or for pages, which go behind what is under way: less, though the link may run dry. */
const waitedForBytes = 64 * 1024;
const waitedForDepthMs = 10;
const sampleMs = 50;
/** A lower rate is believed only slowly: it may be the sender that had nothing to send. */
const decay = 0.9;
/** When no more than this share of the window is still under way, the link was about to run dry. */
const dryShare = 0.25;

export class SendWindow {
  limitBytes: number;
  /** Rate at which the other engine takes data, bytes per second. */
  rateBytesPerSecond = 0;
  /** Never goes back. */
  #aim: 'throughput' | 'switchover' | 'waiting';
  #depthMs = minDepthMs;
  #ranDry = false;
  #sampleStartMs: number | undefined;
  #sampleStartBytes = 0;

  /** @param switchoverBarred whether QEMU cannot switch over yet, until `allowSwitchover` */
  constructor(switchoverBarred = false) {
    this.#aim = switchoverBarred ? 'throughput' : 'switchover';
    this.limitBytes = this.#limit();
  }

  /** From now on little may be under way. */
  allowSwitchover(): void {
    if (this.#aim === 'throughput') this.#aim = 'switchover';
    this.limitBytes = this.#limit();
  }

  /** From now on the VM may wait for what is sent. */
  expectWaiting(): void {
    this.#aim = 'waiting';
    this.limitBytes = this.#limit();
  }

  /** Whether the link has next to nothing to carry with so much under way. */
  runsDry(underWayBytes: number): boolean {
    return underWayBytes < this.limitBytes * dryShare;
  }

  /**
   * The other engine has acknowledged `bytes` in all.
   *
   * @param outstandingBytes what is under way after that
   * @param wanting whether more would have been sent, had the window been larger
   */
  acknowledged(bytes: number, nowMs: number, outstandingBytes: number, wanting: boolean): void {
    if (wanting && this.runsDry(outstandingBytes)) this.#ranDry = true;
    if (this.#sampleStartMs === undefined) {
      this.#sampleStartMs = nowMs;
      this.#sampleStartBytes = bytes;
      return;
    }
    const elapsedMs = nowMs - this.#sampleStartMs;
    if (elapsedMs < sampleMs) return;
    const rate = ((bytes - this.#sampleStartBytes) / elapsedMs) * 1000;
    this.rateBytesPerSecond = Math.max(rate, this.rateBytesPerSecond * decay);
    const depthMs = this.#depthMs * (this.#ranDry ? 1.25 : 0.98);
    this.#depthMs = Math.min(maxDepthMs, Math.max(minDepthMs, depthMs));
    this.#ranDry = false;
    this.limitBytes = this.#limit();
    this.#sampleStartMs = nowMs;
    this.#sampleStartBytes = bytes;
  }

  #limit(): number {
    const leastBytes = this.#aim === 'waiting' ? waitedForBytes : minBytes;
    return Math.min(maxBytes, Math.max(leastBytes, (this.rateBytesPerSecond * this.#aimedDepthMs) / 1000));
  }

  get #aimedDepthMs(): number {
    switch (this.#aim) {
      case 'throughput':
        return barredDepthMs;
      case 'switchover':
        return this.#depthMs;
      case 'waiting':
        return waitedForDepthMs;
    }
  }
}
