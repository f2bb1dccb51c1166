/**
 * How much may be under way between source QEMU and target. Everything beyond it waits in QEMU, which therefore sees the
 * link as it is, and at the switch-over only little is left to deliver. Pure: time comes with the events.
 */

/** Even a slow link gets so much at once. */
const leastBytes = 256 * 1024;
const mostBytes = 16 * 1024 * 1024;
/** What may be under way, as time on the link. */
const depthMs = 30;
const sampleMs = 50;
/** A lower rate is believed only slowly: it may be the sender that had nothing to send. */
const decay = 0.9;

export class SendWindow {
  limitBytes = leastBytes;
  /** Rate at which the other engine takes data, bytes per second. */
  rateBytesPerSecond = 0;
  #sampleStartMs: number | undefined;
  #sampleStartBytes = 0;

  /** The other engine has acknowledged `bytes` in all. */
  acknowledged(bytes: number, nowMs: number): void {
    if (this.#sampleStartMs === undefined) {
      this.#sampleStartMs = nowMs;
      this.#sampleStartBytes = bytes;
      return;
    }
    const elapsedMs = nowMs - this.#sampleStartMs;
    if (elapsedMs < sampleMs) return;
    const rate = ((bytes - this.#sampleStartBytes) / elapsedMs) * 1000;
    this.rateBytesPerSecond = Math.max(rate, this.rateBytesPerSecond * decay);
    this.limitBytes = Math.min(mostBytes, Math.max(leastBytes, (this.rateBytesPerSecond * depthMs) / 1000));
    this.#sampleStartMs = nowMs;
    this.#sampleStartBytes = bytes;
  }
}
