/** The live view in a real browser, of a run that is written meanwhile. Needs root once, to install chromium; about 15 s. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { chromium } from 'playwright-core';
import { machinePackages } from '../../scripts/debian-packages.ts';
import { ensurePackages } from '../../scripts/packages.ts';
import { GrownRun } from '../testing/grow-run.ts';
import { serveLive } from './live-server.ts';
import { LiveSet } from './live-set.ts';

test('the page follows a run without being loaded again', async (t) => {
  await ensurePackages(machinePackages.pageTests, (line) => {
    t.log(line);
  });
  const dir = await mkdtemp(path.join(os.tmpdir(), 'live-page-'));
  const live = new LiveSet('set');
  const server = await serveLive(live, 0);
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
    ],
  });
  t.teardown(async () => {
    await browser.close();
    await server.close();
    await rm(dir, { recursive: true });
  });
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  const complaints: string[] = [];
  let loads = 0;
  page.on('request', (request) => {
    if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url()))
      complaints.push(`request: ${request.url()}`);
  });
  page.on('load', () => (loads += 1));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(server.url);
  const status = page.locator('#running-status');
  await status.filter({ hasText: 'No run in progress' }).waitFor();

  const run = new GrownRun(path.join(dir, 'rw-16-precopy-r1'));
  live.add(run.folder);
  await run.begin();
  await run.event(0, { event: 'step-started', step: 'migrate' });
  await run.load(0, 10_000);
  await run.event(10_000, { event: 'migrate-command', host: 'harness', uri: 'tcp:x' });
  await run.load(10_000, 20_000);
  await status
    .filter({ hasText: /rw-16-precopy-r1 \d+:\d\d: migrate \d+:\d\d, .*MB remaining, migration 15\.0 MB\/s/ })
    .waitFor();
  const curve = page.locator('[data-running="tps"] svg .mark-line.role-mark path').last();
  // A level line has no height, and counts as hidden.
  await curve.waitFor({ state: 'attached' });
  const before = await curve.getAttribute('d');
  await run.load(20_000, 40_000);
  await page.waitForFunction(
    `(() => { const now = [...document.querySelectorAll('[data-running="tps"] svg .mark-line.role-mark path')].at(-1)?.getAttribute('d');
      return now !== undefined && now !== ${JSON.stringify(before)}; })()`,
  );
  for (const name of ['throughput', 'remaining', 'tps', 'latency', 'phases'])
    t.true((await page.locator(`[data-running="${name}"] svg`).count()) > 0, name);
  if (process.env['LIVE_SCREENSHOT'] !== undefined)
    await page.screenshot({ path: process.env['LIVE_SCREENSHOT'], fullPage: false });

  const bars = page.locator('[data-figure="figure-08-total-time"] svg .mark-rect.role-mark path');
  t.is(await bars.count(), 0);
  await run.end();
  await bars.first().waitFor();
  await status.filter({ hasText: 'No run in progress' }).waitFor();
  t.regex((await page.locator('#runs').textContent()) ?? '', /rw-16-precopy-r1.*completed/);
  t.is(loads, 1);
  t.deepEqual(complaints, []);
});
