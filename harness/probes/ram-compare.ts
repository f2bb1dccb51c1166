/**
 * Compares a VM's RAM file with the same file of another host, byte by byte, page by page. Runs on the destination:
 *   node ram-compare.js FILE HOST PORT
 * reads the other file, the source's, from a TCP connection and prints a line of JSON. `differing` shows the first pages that
 * differ: which of their bytes, and up to 16 of them as the source and the destination have them. The page with the guest's wall
 * clock, if that alone differs there, does not count.
 */
import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import { differingBytes, isWallClockAlone } from '../../qemu/wall-clock.ts';

const pageBytes = 4096;
const shownPages = 20;
const shownBytes = 16;

const [, , file = '', host = '', port = ''] = process.argv;
const local = await open(file, 'r');
interface DifferingPage {
  readonly page: number;
  readonly first_byte: number;
  readonly last_byte: number;
  readonly source: string;
  readonly destination: string;
}
const differing: DifferingPage[] = [];
let wallClockPage: number | undefined;
let differingCount = 0;
let page = 0;
let rest: Buffer = Buffer.alloc(0);
const own = Buffer.alloc(1024 * pageBytes);

for await (const chunk of connect({ host, port: Number(port) })) {
  const data = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
  const whole = Math.min(data.length - (data.length % pageBytes), own.length);
  const { bytesRead } = await local.read(own, 0, whole, page * pageBytes);
  if (bytesRead !== whole) throw new Error(`${file} is shorter than the other host's RAM`);
  for (let offset = 0; offset < whole; offset += pageBytes, page += 1) {
    if (data.compare(own, offset, offset + pageBytes, offset, offset + pageBytes) === 0) continue;
    const theirs = data.subarray(offset, offset + pageBytes);
    const ours = own.subarray(offset, offset + pageBytes);
    // A guest has one.
    if (wallClockPage === undefined && isWallClockAlone(theirs, ours)) {
      wallClockPage = page;
      continue;
    }
    differingCount += 1;
    if (differing.length < shownPages) differing.push(shown(page, theirs, ours));
  }
  rest = data.subarray(whole);
}
const { size } = await local.stat();
await local.close();
if (rest.length > 0 || page * pageBytes !== size)
  throw new Error(`compared ${page * pageBytes} of ${size} bytes: the other host's RAM has another size`);
console.log(
  JSON.stringify({
    pages_compared: page,
    pages_differing: differingCount,
    wall_clock_page: wallClockPage,
    differing,
  }),
);

function shown(index: number, source: Buffer, destination: Buffer): DifferingPage {
  const [first = 0, last = 0] = differingBytes(source, destination) ?? [];
  const hex = (ram: Buffer): string =>
    ram.subarray(first, Math.min(last + 1, first + shownBytes)).toString('hex');
  return {
    page: index,
    first_byte: first,
    last_byte: last,
    source: hex(source),
    destination: hex(destination),
  };
}
