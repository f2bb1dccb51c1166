/** Pages of a buffer pool as they are found, as columns. */
export class PoolPages {
  count = 0;
  dirty = 0;
  /** Frames that were not looked at in time, which may hold pages or not. */
  late = 0;
  readonly address: Float64Array;
  readonly space: Uint32Array;
  readonly page: Uint32Array;
  /** 1 of pages in the old sublist of InnoDB's LRU list, where that says which pages are used. */
  readonly cold: Uint8Array;
  /** Why it does not. */
  heatUnknown: string | undefined =
    'what its LRU list says is not found out, as it is not before pages are evicted';

  /** @param capacity most pages that there can be; memory is taken only for those that there are */
  constructor(capacity: number) {
    this.address = new Float64Array(capacity);
    this.space = new Uint32Array(capacity);
    this.page = new Uint32Array(capacity);
    this.cold = new Uint8Array(capacity);
  }

  /** Notes a page that is equal to its file as far as InnoDB knows. */
  add(address: number, space: number, page: number): void {
    this.address[this.count] = address;
    this.space[this.count] = space;
    this.page[this.count] = page;
    this.count++;
  }
}
