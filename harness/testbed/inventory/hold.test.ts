import test from 'ava';
import { describeHolder, parseHolder } from './hold.ts';

const holder = {
  id: 'x',
  user: 'root@vm',
  pid: 7,
  owner: "npm run matrix -- --out 'a b'",
  since: '2026-11-25T19:40:00.000Z',
};

test('a holder is named with what he runs since when', (t) => {
  t.is(
    describeHolder({ host: 'src', holder: parseHolder(JSON.stringify(holder)) }),
    "src is in use since 2026-11-25T19:40:00.000Z by root@vm, process 7 (npm run matrix -- --out 'a b')",
  );
});

test('a lock whose file says nothing, or something else, is a lock all the same', (t) => {
  for (const text of ['', '{', '{"pid":7}', 'null'])
    t.regex(describeHolder({ host: 'dst', holder: parseHolder(text) }), /^dst is in use by another process/);
});
