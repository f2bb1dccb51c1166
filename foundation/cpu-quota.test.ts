import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CpuQuota } from './cpu-quota.ts';

interface Group {
  readonly max: string;
  readonly usedUs: number;
}

/** A tree of groups as the kernel shows it, and a clock of its own. */
function machine(t: ExecutionContext): {
  readonly put: (groups: Readonly<Record<string, Group>>) => void;
  readonly quota: (own: string) => CpuQuota;
  readonly wait: (ms: number) => void;
} {
  const root = mkdtempSync(path.join(os.tmpdir(), 'poolshift-cgroup-'));
  t.teardown(() => {
    rmSync(root, { recursive: true });
  });
  let nowMs = 1000;
  return {
    put: (groups) => {
      for (const [name, { max, usedUs }] of Object.entries(groups)) {
        mkdirSync(path.join(root, name), { recursive: true });
        writeFileSync(path.join(root, name, 'cpu.max'), `${max}\n`);
        writeFileSync(
          path.join(root, name, 'cpu.stat'),
          `usage_usec ${usedUs}\nuser_usec 1\nsystem_usec 2\n`,
        );
      }
    },
    quota: (own) => new CpuQuota(root, own, () => nowMs),
    wait: (ms) => {
      nowMs += ms;
    },
  };
}

const unlimited = 'max 100000';

test('what is left of a quota, of the group itself and of those above it', (t) => {
  const { put, quota, wait } = machine(t);
  const slice = { max: '400000 100000', usedUs: 9_000_000 };
  put({ slice, 'slice/unit': { max: '50000 100000', usedUs: 500 } });
  const left = quota('0::/slice/unit\n');
  wait(100);
  put({ slice: { ...slice, usedUs: 9_040_000 }, 'slice/unit': { max: '50000 100000', usedUs: 10_500 } });
  t.is(left.leftShare(), 0.8, 'the unit has used 10 of its 50 ms, the slice 40 of 400');
  wait(100);
  put({ slice: { ...slice, usedUs: 9_440_000 }, 'slice/unit': { max: '50000 100000', usedUs: 20_500 } });
  t.is(left.leftShare(), 0, 'others in the slice have used all of it');
  wait(100);
  put({ 'slice/unit': { max: unlimited, usedUs: 120_500 } });
  t.is(left.leftShare(), 1, 'a limit that is taken away is none');
});

test('in a container the root is the own group, and has the limit', (t) => {
  const { put, quota, wait } = machine(t);
  put({ '.': { max: '200000 100000', usedUs: 0 } });
  const left = quota('0::/\n');
  wait(100);
  put({ '.': { max: '200000 100000', usedUs: 150_000 } });
  t.is(left.leftShare(), 0.25);
});

test('without a quota, without version 2, and in no time all is left', (t) => {
  const { put, quota, wait } = machine(t);
  put({ unit: { max: unlimited, usedUs: 5 } });
  const several = ['0::/unit\n', '3:cpu,cpuacct:/unit\n', '', '0::/gone/../unit\n'].map(quota);
  wait(100);
  put({ unit: { max: unlimited, usedUs: 100_000 } });
  for (const left of several) t.deepEqual([left.leftShare(), left.leftShare()], [1, 1]);
});
