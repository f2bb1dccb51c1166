import test from 'ava';
import { RamCheck, ramCheckLimits } from './ram-check.ts';

const pages = 1 << 16;
/** QEMU's record of a page, as often as it was written. */
const recordOf = (page: number, written: number): Buffer => {
  const record = Buffer.alloc(4096, 1);
  record.writeUInt32LE(page, 0);
  record.writeUInt32LE(written, 4);
  return record;
};

/** Memory in which each of these pages was written once more than what QEMU sends of it, and QEMU's first pass over it. */
function afterFirstPass(isOther: (page: number) => boolean): RamCheck {
  const check = new RamCheck(
    {
      read: (page, _count, into, offset) => {
        recordOf(page, isOther(page) ? 1 : 0).copy(into, offset);
      },
    },
    ramCheckLimits,
  );
  for (let page = 0; page < pages; page++) {
    check.comes(page);
    check.record(page, recordOf(page, 0), 0);
  }
  return check;
}

test('memory of which nothing is the same is told by the first pages', (t) => {
  const check = afterFirstPass(() => true);
  t.true(check.differs);
  t.false(check.hasPassed);
});

test('memory of a VM of the same template, which is mostly the same, is told when QEMU has nothing left', (t) => {
  const check = afterFirstPass((page) => page > 1000 && page % 10 < 2);
  t.true(check.passed);
  t.false(check.differs);
  // Its own VM has written to some of these pages.
  for (let page = 0; page < pages / 2; page++) check.comes(page);
  t.true(check.isStale);
});

test("pages of the VM's own memory that were written meanwhile come again", (t) => {
  const isWritten = (page: number): boolean => page > 1000 && page % 3 < 2;
  const check = afterFirstPass(isWritten);
  t.true(check.isStale, 'they have not come yet');
  for (let page = 0; page < pages; page++) if (isWritten(page)) check.comes(page);
  t.false(check.isStale);
});

test('a few that the guest has freed meanwhile may be missing', (t) => {
  t.false(afterFirstPass((page) => page > 1000 && page % 6400 < 64).isStale);
});
