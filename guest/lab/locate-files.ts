/**
 * Runs in a guest, for storage-stack.lab.test.ts: where the agent says that files lie, and whether the disks have their bytes there.
 * Prints a line of JSON for each file that is named.
 */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { Deadline, listMs } from '../agent/deadline.ts';
import { ExtentIndex, locateFiles } from '../agent/file-location.ts';
import { buildRuns } from '../agent/page-runs.ts';

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
const located = paths.map((path) => `/proc/${process.pid}/root${path}`);
const locations = await locateFiles(process.pid, located, new ExtentIndex(), new Deadline(listMs));
for (const [index, location] of locations.entries()) {
  if ('leftOut' in location) {
    console.log(`LOCATED ${JSON.stringify({ path: paths[index], leftOut: location.leftOut })}`);
    continue;
  }
  const file = openSync(paths[index] ?? '', 'r');
  // As if all of the file were cached, each page in the frame after its number.
  const count = Math.ceil(fstatSync(file).size / blockBytes);
  const page = Uint32Array.from({ length: count }, (_, block) => block);
  const pages = {
    ...{ pid: process.pid, pageSizeBytes: blockBytes, count, file: new Uint32Array(count), page },
    ...{ cold: new Uint8Array(count), leftOut: {} },
  };
  const { runs, sources, leftOut } = buildRuns([
    { pages, frames: page.map((block) => block + 1), locations: [location] },
  ]);
  const [inFile, onDisk] = [Buffer.alloc(blockBytes), Buffer.alloc(blockBytes)];
  const blocks: Record<string, number> = {};
  let differing = 0;
  for (let run = 0; run < runs.count.length; run++) {
    const source = sources[runs.sourceIndex[run] ?? 0];
    if (source?.kind !== 'disk') continue;
    const disk = openSync(deviceOf(source.disk), 'r');
    for (let block = 0; block < (runs.count[run] ?? 0); block++) {
      readSync(file, inFile, 0, blockBytes, ((runs.guestFrame[run] ?? 0) - 1 + block) * blockBytes);
      readSync(disk, onDisk, 0, blockBytes, ((runs.storageBlock[run] ?? 0) + block) * blockBytes);
      if (!inFile.equals(onDisk)) differing++;
      blocks[source.disk] = (blocks[source.disk] ?? 0) + 1;
    }
    closeSync(disk);
  }
  closeSync(file);
  console.log(`LOCATED ${JSON.stringify({ path: paths[index], blocks, differing, leftOut })}`);
}
