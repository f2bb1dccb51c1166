/**
 * Compares a VM's RAM file with the same file of another host, byte by byte, page by page. Runs on the destination:
 *   node ram-compare.js FILE HOST PORT
 * reads the other file from a TCP connection and prints `{"pages_compared":…,"pages_differing":…,"first_differing":[…]}`.
 */
import { open } from 'node:fs/promises';
import { connect } from 'node:net';

const pageBytes = 4096;
const shownPages = 20;

const [, , file = '', host = '', port = ''] = process.argv;
const local = await open(file, 'r');
const differing: number[] = [];
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
    differingCount += 1;
    if (differing.length < shownPages) differing.push(page);
  }
  rest = data.subarray(whole);
}
const { size } = await local.stat();
await local.close();
if (rest.length > 0 || page * pageBytes !== size)
  throw new Error(`compared ${page * pageBytes} of ${size} bytes: the other host's RAM has another size`);
console.log(
  JSON.stringify({ pages_compared: page, pages_differing: differingCount, first_differing: differing }),
);
