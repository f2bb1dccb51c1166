/** The program as it runs on a host, with another host's RAM behind a socket. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';

const pageBytes = 4096;

/** Pages that all differ from each other. */
function ram(pages: number): Buffer {
  return Buffer.from(Uint32Array.from({ length: (pages * pageBytes) / 4 }, (_, word) => word).buffer);
}

async function compare(t: ExecutionContext, own: Buffer, other: Buffer): Promise<unknown> {
  const folder = await mkdtemp(path.join(tmpdir(), 'ram-compare-'));
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    // In pieces that are no pages.
    for (let at = 0; at < other.length; at += 5000) socket.write(other.subarray(at, at + 5000));
    socket.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });
  const file = path.join(folder, 'ram');
  await writeFile(file, own);
  const { port } = server.address() as AddressInfo;
  const program = path.join(import.meta.dirname, 'ram-compare.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [program, file, '127.0.0.1', String(port)]);
  return JSON.parse(stdout);
}

test('equal RAM has no differing page', async (t) => {
  const pages = 1500;
  t.deepEqual(await compare(t, ram(pages), ram(pages)), {
    pages_compared: pages,
    pages_differing: 0,
    differing: [],
  });
});

test('a changed byte is found, wherever it is', async (t) => {
  const pages = 1500;
  const other = ram(pages);
  for (const at of [0, 700 * pageBytes + 1234, pages * pageBytes - 1]) other[at] = (other[at] ?? 0) ^ 1;
  t.deepEqual(await compare(t, ram(pages), other), {
    pages_compared: pages,
    pages_differing: 3,
    differing: [
      { page: 0, first_byte: 0, last_byte: 0, source: '01', destination: '00' },
      { page: 700, first_byte: 1234, last_byte: 1234, source: '0b', destination: '0a' },
      { page: 1499, first_byte: 4095, last_byte: 4095, source: '01', destination: '00' },
    ],
  });
});

test('the wall clock that KVM writes does not count, once', async (t) => {
  const [own, other] = [ram(20), ram(20)];
  const clocks = [5, 9];
  for (const page of clocks) {
    // Version, seconds, nanoseconds.
    for (const [copy, clock] of [
      [other, [2, 1000, 1]],
      [own, [4, 1000, 2]],
    ] as const)
      for (const [field, value] of clock.entries())
        copy.writeUInt32LE(value, page * pageBytes + 64 + 4 * field);
  }
  t.like(await compare(t, own, other), { pages_differing: 1, wall_clock_page: 5, differing: [{ page: 9 }] });
});

test('RAM of another size is refused', async (t) => {
  await t.throwsAsync(compare(t, ram(10), ram(11)), { message: /shorter than the other host's RAM/ });
  await t.throwsAsync(compare(t, ram(11), ram(10)), { message: /compared 40960 of 45056 bytes/ });
  await t.throwsAsync(compare(t, ram(10), ram(10).subarray(0, -1)), { message: /compared 36864 of 40960/ });
});
