import test from 'ava';
import { hugePagesMayBack, mayGetHugePages } from './huge-pages.ts';

const blockBytes = 0x4000000;
const mapping = (range: string, eligible: string): string =>
  `${range} rw-p 00000000 00:00 0 \nSize: 65536 kB\nAnonHugePages: 0 kB\n${eligible}VmFlags: rd wr mr mw me ac sd\n`;
const block = '7f0000000000-7f0004000000';
const other = '7f0010000000-7f0010001000';

test('a mapping of the size of the RAM block decides', (t) => {
  const eligible = 'THPeligible:           1\n';
  const not = 'THPeligible:           0\n';
  t.true(hugePagesMayBack(mapping(other, not) + mapping(block, eligible), blockBytes));
  t.false(hugePagesMayBack(mapping(other, eligible) + mapping(block, not), blockBytes));
  t.true(hugePagesMayBack(mapping(block, not) + mapping('7f1000000000-7f1004000000', eligible), blockBytes));
});

test('what cannot be seen may get them', (t) => {
  t.true(hugePagesMayBack(mapping(other, 'THPeligible:           0\n'), blockBytes));
  t.true(hugePagesMayBack(mapping(block, ''), blockBytes));
  t.true(hugePagesMayBack('', blockBytes));
  t.true(mayGetHugePages('/nobody/listens', blockBytes));
});
