import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { mock } from 'node:test';
import test from 'ava';
import { CodedError } from '../foundation/coded-error.ts';
import type { Outcome } from './course.ts';
import { survey } from './domain-migration.ts';
import {
  type DomainEnd,
  evacuate,
  evacuationExitCode,
  evacuationTable,
  inOrder,
  SharedRoom,
} from './evacuation.ts';
import type { OperatedHost } from './host.ts';
import type { Summary } from './summary.ts';

const summary = (outcome: Outcome, changes: Partial<Summary> = {}): Summary => ({
  vm: 'a',
  source: 'src',
  destination: 'dst',
  method: 'balance',
  outcome,
  totalMs: 12_300,
  downtimeMs: 100,
  migrationLinkBytes: 1,
  storageLinkBytes: 1,
  pagesListed: 10,
  pagesVerified: 9,
  pagesSent: {},
  reasons: [],
  ...changes,
});
const over = (domain: string, outcome: Outcome, changes: Partial<Summary> = {}): DomainEnd => ({
  domain,
  end: { is: 'over', summary: summary(outcome, changes) },
});

test('those with the largest pools come last, and of equal ones the larger', (t) => {
  t.deepEqual(
    inOrder([
      { domain: 'pool', pagesListed: 5000, memoryBytes: 1e9 },
      { domain: 'plain-large', pagesListed: 0, memoryBytes: 8e9 },
      { domain: 'plain-b', pagesListed: 0, memoryBytes: 1e9 },
      { domain: 'plain-a', pagesListed: 0, memoryBytes: 1e9 },
      { domain: 'small-pool', pagesListed: 50, memoryBytes: 64e9 },
    ]),
    ['plain-a', 'plain-b', 'plain-large', 'small-pool', 'pool'],
  );
});

test('the exit status is that of the end which most needs somebody to look', (t) => {
  const migrated = over('a', 'migrated');
  const hindered: DomainEnd = { domain: 'b', end: { is: 'hindered', findings: [] } };
  t.is(evacuationExitCode([]), 0);
  t.is(evacuationExitCode([migrated, migrated]), 0);
  t.is(evacuationExitCode([migrated, hindered]), 4);
  t.is(evacuationExitCode([hindered, over('c', 'failed'), { domain: 'd', end: { is: 'not-begun' } }]), 1);
  t.is(evacuationExitCode([migrated, { domain: 'd', end: { is: 'not-begun' } }]), 130);
  t.is(evacuationExitCode([over('a', 'failed'), over('b', 'in-doubt')]), 3);
  t.is(evacuationExitCode([over('a', 'failed'), { domain: 'b', end: { is: 'unknown', why: 'x' } }]), 3);
  t.is(evacuationExitCode([migrated, { domain: 'b', end: { is: 'not-asked', why: 'x' } }]), 1);
  t.is(evacuationExitCode([over('a', 'failed'), over('b', 'migrated', { ram: 'differs' })]), 5);
});

test('a row for each domain', (t) => {
  t.deepEqual(evacuationTable([]), ['no domain runs at the source: there is nothing to move']);
  t.deepEqual(
    evacuationTable([
      over('vm1', 'migrated'),
      over('a-long-name', 'failed', { method: 'plain', pagesVerified: undefined }),
      {
        domain: 'vm3',
        end: {
          is: 'hindered',
          findings: [{ check: 'agent', level: 'no-engine', says: 'it does not answer' }],
        },
      },
      { domain: 'vm4', end: { is: 'not-begun' } },
    ]),
    [
      'domain       total   pages restored  result',
      'vm1          12.3 s  9 of 10         migrated',
      'a-long-name  12.3 s                  failed, plain',
      'vm3                                  not begun: agent: it does not answer',
      'vm4                                  not begun',
    ],
  );
});

test('memory that others on their way will take is not free, and who came first waits for nobody', async (t) => {
  const room = new SharedRoom();
  const first = room.take(8);
  const second = room.take(5);
  const third = room.take(1);
  t.deepEqual(
    [first, second, third].map(({ beforeBytes }) => beforeBytes),
    [0, 8, 13],
  );
  let waited = true;
  void second.others.then(() => (waited = false));
  third.leave();
  await new Promise(setImmediate);
  t.true(waited, 'one that came later makes no room');
  first.leave();
  await second.others;
  second.leave();
  t.is(room.take(3).beforeBytes, 0);
});

test('a domain that cannot be asked costs its own migration alone; a host that is not reached costs all', async (t) => {
  const hostThat = (code: 'timeout' | 'unreachable'): OperatedHost =>
    ({
      run: () => Promise.reject(new CodedError('host', code, 'src does not answer')),
    }) as unknown as OperatedHost;
  const asked = { domain: 'vm1', engine: 'poolshift-engine', towards: 'dst' };
  t.deepEqual(await survey(hostThat('timeout'), asked), { domain: 'vm1', pagesListed: 0, memoryBytes: 0 });
  await t.throwsAsync(survey(hostThat('unreachable'), asked), { name: 'HostError' });
});

const asRootSerially = process.getuid?.() === 0 ? test.serial : test.serial.skip;

asRootSerially(
  'a source that is slow to say what runs there is named, and so is what Ctrl-C does',
  async (t) => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-evacuation-'));
    const before = process.env['PATH'] ?? '';
    process.env['PATH'] = `${folder}:${before}`;
    t.teardown(async () => {
      process.env['PATH'] = before;
      await rm(folder, { recursive: true });
    });
    const virsh = `#!/bin/sh\nuntil [ -e ${folder}/go ]; do sleep 0.1; done\n`;
    await writeFile(path.join(folder, 'virsh'), virsh, { mode: 0o755 });
    const notes: (readonly [domain: string | undefined, text: string])[] = [];
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const ends = evacuate(
        'qemu+ssh://dst/system',
        {
          ...{ connect: 'qemu:///system', engine: 'poolshift-engine', storage: [], port: 49_152 },
          ...{ method: 'balance', parallel: 1 },
        },
        (domain) => ({
          findings: () => undefined,
          note: (text) => notes.push([domain, text]),
          progress: () => undefined,
          end: () => undefined,
        }),
        (listener) => {
          listener();
          listener();
        },
      );
      await new Promise(setImmediate);
      mock.timers.tick(10_000);
      await writeFile(path.join(folder, 'go'), '');
      t.deepEqual(await ends, []);
    } finally {
      mock.timers.reset();
    }
    t.deepEqual(notes, [
      [undefined, 'no more domains are begun; those that move are ended as far as they can be'],
      [undefined, `waiting for ${os.hostname()}: 10 s of at most 30`],
    ]);
  },
);
