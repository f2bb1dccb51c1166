/**
 * Runs in a guest, for device-mapper.lab.test.ts: where the agent says that files lie, and whether the disks have their bytes there.
 * Prints a line of JSON for each file that is named.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { Deadline, listMs } from '../agent/deadline.ts';
import { ExtentIndex, locateFiles } from '../agent/file-location.ts';

const blockBytes = 4096;

/** The device of a disk that the agent names by its serial number. */
function deviceOf(serial: string): string {
  const name = readdirSync('/sys/block').find((disk) => {
    try {
      return readFileSync(`/sys/block/${disk}/serial`, 'utf8').trim() === serial;
    } catch {
      return false;
    }
  });
  return `/dev/${name ?? serial}`;
}

const paths = process.argv.slice(2);
const locations = await locateFiles(
  process.pid,
  paths.map((path) => `/proc/${process.pid}/root${path}`),
  new ExtentIndex(),
  new Deadline(listMs),
);
for (const [index, location] of locations.entries()) {
  if ('leftOut' in location) {
    console.log(`LOCATED ${JSON.stringify({ path: paths[index], leftOut: location.leftOut })}`);
    continue;
  }
  const file = openSync(paths[index] ?? '', 'r');
  const [inFile, onDisk] = [Buffer.alloc(blockBytes), Buffer.alloc(blockBytes)];
  const blocks: Record<string, number> = {};
  let differing = 0;
  for (const { source, extents } of location.parts) {
    if (source.kind !== 'disk') continue;
    const disk = openSync(deviceOf(source.disk), 'r');
    for (const { logicalBlock, physicalBlock, count } of extents)
      for (let block = 0; block < count; block++) {
        readSync(file, inFile, 0, blockBytes, (logicalBlock + block) * blockBytes);
        readSync(disk, onDisk, 0, blockBytes, (physicalBlock + block) * blockBytes);
        if (!inFile.equals(onDisk)) differing++;
        blocks[source.disk] = (blocks[source.disk] ?? 0) + 1;
      }
    closeSync(disk);
  }
  closeSync(file);
  console.log(`LOCATED ${JSON.stringify({ path: paths[index], blocks, differing })}`);
}
