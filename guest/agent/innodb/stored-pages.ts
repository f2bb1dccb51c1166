/** Whether a page in memory is what its tablespace's file has: a few pages only, since the server bypasses the page cache. */
import { closeSync, readSync } from 'node:fs';
import { systemErrorCode } from '../guest-error.ts';
import { openRegularFileSync } from '../safe-files.ts';
import type { TablespaceFile } from './tablespaces.ts';

/** Opens files when they are asked for. */
export class StoredPages {
  private readonly files: readonly TablespaceFile[];
  private readonly descriptors = new Map<string, number | undefined>();
  private stored = new Uint8Array(0);

  constructor(files: readonly TablespaceFile[]) {
    // Of several files of a tablespace the later ones come first.
    this.files = [...files].sort((a, b) => b.firstPage - a.firstPage);
  }

  /** @returns undefined when no file with the page can be read */
  has(spaceId: number, page: number, frame: Uint8Array): boolean | undefined {
    const file = this.files.find((one) => one.spaceId === spaceId && one.firstPage <= page);
    if (file === undefined) return undefined;
    if (this.stored.length !== frame.length) this.stored = new Uint8Array(frame.length);
    try {
      const descriptor = this.descriptorOf(file.path);
      if (descriptor === undefined) return undefined;
      const bytes = readSync(
        descriptor,
        this.stored,
        0,
        frame.length,
        (page - file.firstPage) * frame.length,
      );
      return bytes === frame.length && Buffer.compare(this.stored, frame) === 0;
    } catch (error) {
      if (systemErrorCode(error) !== undefined) return undefined;
      throw error;
    }
  }

  close(): void {
    for (const descriptor of this.descriptors.values()) if (descriptor !== undefined) closeSync(descriptor);
    this.descriptors.clear();
  }

  /** @throws a system error such as ENOENT */
  private descriptorOf(path: string): number | undefined {
    if (!this.descriptors.has(path)) this.descriptors.set(path, openRegularFileSync(path));
    return this.descriptors.get(path);
  }
}
