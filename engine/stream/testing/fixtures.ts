import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { zstdDecompressSync } from 'node:zlib';

const folder = path.join(import.meta.dirname, '../fixtures');

/** Names of the recorded streams (qemu/capture); those of other connections and directions left out. */
export const fixtureNames = readdirSync(folder)
  .filter((file) => /^qemu-[\d.]+-[a-z-]+\.zst$/.test(file))
  .map((file) => file.slice(0, -'.zst'.length));

export function readFixture(fixtureName: string): Buffer {
  return zstdDecompressSync(readFileSync(path.join(folder, `${fixtureName}.zst`)));
}
