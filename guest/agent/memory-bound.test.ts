import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { memoryLimitBytes, pagesWithin } from './memory-bound.ts';

const gibibyte = 2 ** 30;
const mebibyte = 2 ** 20;

test('the least of what the control groups above the agent allow and its share of the guest', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'cgroup-'));
  t.teardown(() => {
    rmSync(root, { recursive: true });
  });
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  put('system.slice/agent.service/memory.max', `${300 * mebibyte}\n`);
  put('system.slice/agent.service/memory.high', 'max\n');
  put('system.slice/memory.max', 'max\n');
  put('tight.slice/memory.high', `${200 * mebibyte}\n`);
  put('tight.slice/agent.service/memory.max', `${300 * mebibyte}\n`);
  put('memory/agents/memory.limit_in_bytes', `${150 * mebibyte}\n`);
  put('memory/agents/one/memory.limit_in_bytes', '9223372036854771712\n');
  const limitOf = (cgroup: string, guestBytes = 128 * gibibyte): number =>
    memoryLimitBytes(guestBytes, cgroup, root) / mebibyte;
  t.is(limitOf('0::/system.slice/agent.service\n'), 300);
  t.is(limitOf('0::/tight.slice/agent.service\n'), 200);
  t.is(limitOf('5:cpu:/agents/one\n4:memory:/agents/one\n0::/\n'), 150);
  t.is(limitOf('0::/elsewhere\n'), 2048);
  t.is(limitOf('', gibibyte), 384);
});

test('where nobody limits the agent a guest can have all of its memory listed, and in too little there is no page', (t) => {
  for (const gib of [1, 16, 64, 128, 1024])
    t.true(pagesWithin(memoryLimitBytes(gib * gibibyte, '')) * 4096 >= gib * gibibyte, `${gib} GiB`);
  t.is(pagesWithin(64 * mebibyte), 0);
});

test("the unit's own limit costs no page of a guest", (t) => {
  const unit = readFileSync(new URL('../../examples/poolshift-agent.service', import.meta.url), 'utf8');
  const percent = Number(/^MemoryMax=(\d+)%$/m.exec(unit)?.[1]);
  for (const gib of [0.5, 1, 16, 64, 128, 1024]) {
    const bytes = Math.min(memoryLimitBytes(gib * gibibyte, ''), (gib * gibibyte * percent) / 100);
    t.true(pagesWithin(bytes) * 4096 >= gib * gibibyte, `${gib} GiB`);
  }
});
