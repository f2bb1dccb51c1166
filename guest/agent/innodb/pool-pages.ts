/** Pages of a buffer pool as they are found: growing columns. */
export class PoolPages {
  count = 0;
  dirty = 0;
  address = new Float64Array(1024);
  space = new Uint32Array(1024);
  page = new Uint32Array(1024);

  /** Notes a page that is equal to its file as far as InnoDB knows. */
  add(address: number, space: number, page: number): void {
    if (this.count === this.address.length) this.grow();
    this.address[this.count] = address;
    this.space[this.count] = space;
    this.page[this.count] = page;
    this.count++;
  }

  private grow(): void {
    const length = this.count * 2;
    const address = new Float64Array(length);
    address.set(this.address);
    this.address = address;
    const space = new Uint32Array(length);
    space.set(this.space);
    this.space = space;
    const page = new Uint32Array(length);
    page.set(this.page);
    this.page = page;
  }
}
