/**
 * What a migration is short of: the link between the engines, or its hosts' processors. Where it is processors, pages cost least
 * that go on as QEMU sends them, and compressing only adds to it. Pure: what was measured comes with the calls.
 */

export type Scarce = 'link' | 'processors';

/** Of the time since the measurement before. */
export interface Load {
  /** Share of the source's send window that is free. */
  readonly room: number;
  /** Share of the time in which the destination engine had something to do. */
  readonly destinationBusyShare: number;
  /** Share of the processors' time that nobody used, of the host where it is less. */
  readonly idleShare: number;
  /** Sums since the start: what the destination has acknowledged, and what was sent before compression. */
  readonly wireBytes: number;
  readonly rawBytes: number;
}

/** Between two measurements. */
export const loadMs = 100;
/** With less of the window free, the source waits for the link, or for what takes from it. */
const littleRoom = 0.25;
/** A destination engine that has more to do than this does not wait for the link. */
const busyShare = 0.7;
/** Processors of which so little is left are what everything waits for. */
const littleIdleShare = 0.12;
/** So many measurements in a row have to say the same at first. */
const toBelieve = 3;
/** And so many that the link is scarce after all: hosts that are as busy as they can be now and then look idle for a moment. */
const toBecomeScarce = 10;
/** And so many that it is scarce no more, twice as many each time: what was begun with storage is best ended so. */
const toReturn = 20;
/** Rates are of about the last so many measurements. */
const rateSamples = 5;
/** Uncompressed, what is sent must take no more of the link than this, of what it was seen to carry. */
const returnShare = 0.5;

export class Scarcity {
  /** Undefined until it was measured. */
  scarce: Scarce | undefined;
  wireBytesPerSecond = 0;
  rawBytesPerSecond = 0;
  #peakWireBytesPerSecond = 0;
  #last: { readonly nowMs: number; readonly wireBytes: number; readonly rawBytes: number } | undefined;
  #candidate: Scarce | undefined;
  #inARow = 0;
  #toReturn = toReturn;

  /** What processors let through in a second, where they are what is scarce, uncompressed; 0 where they are not. */
  get processorsCarryBytesPerSecond(): number {
    return this.scarce === 'processors' ? this.#peakWireBytesPerSecond : 0;
  }

  /** Takes a measurement; returns whether `scarce` has changed. */
  measured(load: Load, nowMs: number): boolean {
    this.#takeRates(load, nowMs);
    const seen = this.#see(load);
    this.#inARow = seen === this.#candidate ? this.#inARow + 1 : 1;
    this.#candidate = seen;
    if (seen === this.scarce) return false;
    if (this.#inARow < this.#enough) return false;
    if (this.scarce === 'link') this.#toReturn *= 2;
    this.scarce = seen;
    return true;
  }

  get #enough(): number {
    switch (this.scarce) {
      case undefined:
        return toBelieve;
      case 'processors':
        return toBecomeScarce;
      case 'link':
        return this.#toReturn;
    }
  }

  #see({ room, destinationBusyShare, idleShare }: Load): Scarce {
    const bothWait = room < littleRoom && destinationBusyShare < busyShare;
    // Where processors are idle, storage and compressors take nothing from anybody.
    if (bothWait || idleShare > littleIdleShare) return 'link';
    const fits = this.rawBytesPerSecond <= this.#peakWireBytesPerSecond * returnShare;
    return this.scarce === 'link' && !fits ? 'link' : 'processors';
  }

  #takeRates({ wireBytes, rawBytes }: Load, nowMs: number): void {
    const last = this.#last;
    this.#last = { nowMs, wireBytes, rawBytes };
    if (last === undefined || nowMs <= last.nowMs) return;
    const seconds = (nowMs - last.nowMs) / 1000;
    const smooth = (before: number, bytes: number): number =>
      before + (bytes / seconds - before) / rateSamples;
    this.wireBytesPerSecond = smooth(this.wireBytesPerSecond, wireBytes - last.wireBytes);
    this.rawBytesPerSecond = smooth(this.rawBytesPerSecond, rawBytes - last.rawBytes);
    this.#peakWireBytesPerSecond = Math.max(this.#peakWireBytesPerSecond, this.wireBytesPerSecond);
  }
}
