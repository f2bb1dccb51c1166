import test from 'ava';
import { differingBytes, isWallClockAlone } from './wall-clock.ts';

const pageBytes = 4096;

function pageWith(at: number, [version, seconds, nanoseconds]: readonly [number, number, number]): Buffer {
  const page = Buffer.alloc(pageBytes, 0x5a);
  page.writeUInt32LE(version, at);
  page.writeUInt32LE(seconds, at + 4);
  page.writeUInt32LE(nanoseconds, at + 8);
  return page;
}

test('the bytes that differ', (t) => {
  const page = pageWith(64, [2, 1, 1]);
  t.is(differingBytes(page, Buffer.from(page)), undefined);
  t.deepEqual(differingBytes(page, pageWith(64, [3, 1, 2])), [64, 72]);
});

test('a wall clock that was written anew for each CPU is one, wherever it is', (t) => {
  for (const at of [0, 4, 2048, pageBytes - 12])
    for (const cpus of [1, 2, 128, 4096])
      t.true(
        isWallClockAlone(
          pageWith(at, [2, 1_796_065_853, 999_999_999]),
          pageWith(at, [2 + 2 * cpus, 1_796_065_852, 0]),
        ),
        `${at}, ${cpus} CPUs`,
      );
  t.true(isWallClockAlone(pageWith(8, [2 ** 32 - 2, 5, 6]), pageWith(8, [0, 5, 6])));
});

test('anything else is a difference', (t) => {
  const page = pageWith(64, [4, 1000, 1000]);
  const others: Record<string, Buffer> = {
    same: Buffer.from(page),
    'an older one': pageWith(64, [2, 999, 999]),
    'of the same version': pageWith(64, [4, 1001, 1000]),
    'being written': pageWith(64, [5, 1001, 1000]),
    'no nanoseconds': pageWith(64, [6, 1001, 1e9]),
    'too many versions': pageWith(64, [4 + 2 ** 15, 1001, 1000]),
  };
  const beside = pageWith(64, [6, 1001, 1000]);
  beside[64 + 12] = 0;
  const before = pageWith(64, [6, 1001, 1000]);
  before[63] = 0;
  for (const [name, other] of Object.entries({ ...others, beside, before }))
    t.false(isWallClockAlone(page, other), name);
  // Cut off by the page's end.
  const atEnd = Buffer.from(page);
  atEnd[pageBytes - 1] = 0;
  t.false(isWallClockAlone(page, atEnd));
  const zeros = Buffer.alloc(pageBytes);
  t.false(isWallClockAlone(zeros, page));
  t.false(isWallClockAlone(page, zeros));
});
