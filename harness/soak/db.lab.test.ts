/**
 * Two runs with a database in the local lab: one that is broken at the switchover, and one whose VM goes with its host and
 * is started anew. About two minutes on two idle cores under TCG. `npm run soak -- --vm db` makes more of them (docs/soak.md).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { clearLeftovers, waitForRoom } from '../testbed/local/lab-process.ts';
import { runCampaign } from './campaign.ts';
import { dbForm } from './db-form.ts';
import type { SoakRow } from './table.ts';

test.before(async (t) => {
  await waitForRoom((line) => {
    t.log(line);
  });
  await clearLeftovers();
});

test.serial('a database under load, and a fault: one VM, no commit lost, sound tables', async (t) => {
  t.timeout(20 * 60_000);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-soak-'));
  const { signal } = new AbortController();
  const log = (line: string): void => {
    t.log(line);
  };
  const form = dbForm({ owner: 'a lab test', log, signal });
  t.teardown(async () => {
    await form.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const rows: SoakRow[] = [];
  await runCampaign(form, {
    seeds: [3, 33],
    untilMs: Infinity,
    out: folder,
    signal,
    onRow: (row) => rows.push(row),
  });
  for (const row of rows) t.log(JSON.stringify(row));
  t.is(rows.length, 2);
  t.deepEqual(
    rows.filter(({ end }) => end === 'violated'),
    [],
  );
  for (const { database } of rows) {
    t.is(database?.lost, 0);
    t.true(Number(database?.acknowledged) > 0);
  }
  // Its host is killed long before the link can have carried the guest.
  t.is(rows[1]?.end, 'gone with its host');
  t.true(rows[1]?.database?.startedAnew);
});
