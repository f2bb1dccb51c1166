/**
 * A short soak: seeds that come to each end, with real QEMUs. About a minute on an idle machine of two cores; needs QEMU 9
 * or newer. `npm run soak` makes more of them (docs/soak.md).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { bundleEngine } from '../../engine/cli/bundle.ts';
import { findQemu } from '../../qemu/find-qemu.ts';
import { aimedPlan } from './aimed.ts';
import { runCampaign } from './campaign.ts';
import { earlyPlan, smallPlan } from './plan.ts';
import { smallForm } from './small-form.ts';
import type { SoakRow } from './table.ts';

const installation = findQemu()?.installation;
const serially = installation === undefined ? test.serial.skip : test.serial;

const forms = [
  { name: 'random runs', planOf: smallPlan, seeds: [1, 3, 4, 5, 6, 7, 8, 20508] },
  { name: 'aimed runs', planOf: aimedPlan, seeds: [0, 1, 2, 3, 4, 5, 6, 7] },
  { name: 'early resumes', planOf: earlyPlan, seeds: [0, 1, 2, 3, 4, 5, 6, 7] },
] as const;

for (const { name, planOf, seeds } of forms)
  serially(`${name} with faults: one VM, the same memory, true last words`, async (t) => {
    t.timeout(15 * 60_000);
    if (installation === undefined) throw new Error('no QEMU');
    const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-soak-'));
    t.teardown(() => {
      rmSync(folder, { recursive: true, force: true });
    });
    const engineProgram = path.join(folder, 'poolshift-engine.mjs');
    await bundleEngine(engineProgram);
    const rows: SoakRow[] = [];
    await runCampaign(smallForm({ qemus: [installation], engineProgram }, 2, planOf), {
      seeds,
      untilMs: Infinity,
      out: folder,
      signal: new AbortController().signal,
      onRow: (row) => rows.push(row),
    });
    for (const row of rows) t.log(JSON.stringify(row));
    t.is(rows.length, seeds.length);
    t.deepEqual(
      rows.filter(({ end }) => end === 'violated'),
      [],
    );
    // A soak whose faults never come would find nothing.
    t.true(rows.some(({ reached }) => reached));
    t.true(rows.some(({ pagesCompared }) => pagesCompared !== undefined));
  });
