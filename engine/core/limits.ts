/** How long the engines wait for what does not come. */
export interface Limits {
  /** For the target's word after the commit. */
  readonly switchoverMs: number;
  /** Without any progress before it: storage, the target, the link, QEMU. */
  readonly stallMs: number;
  /** For one read of storage; then its pages, and all others of it, come from the source's memory. */
  readonly storageMs: number;
}

export const defaultLimits: Limits = { switchoverMs: 30_000, stallMs: 300_000, storageMs: 30_000 };
