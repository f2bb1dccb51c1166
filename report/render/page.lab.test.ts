/** The page in a real browser, opened from disk. Needs root once, to install Debian's chromium; takes about 20 s. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import test from 'ava';
import { chromium, type Browser, type Page } from 'playwright-core';
import { machinePackages } from '../../scripts/debian-packages.ts';
import { ensurePackages } from '../../scripts/packages.ts';
import { figures } from '../figures/all.ts';
import { languages, type Language } from '../figures/text.ts';
import type { RunSet } from '../record/read-set.ts';
import { readSet } from '../record/read-set.ts';
import type { RunRow } from '../record/run-row.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { pageOf } from './page.ts';

let browser: Browser;
let dir: string;
let axe: string;

test.before(async (t) => {
  await ensurePackages(machinePackages.pageTests, (line) => {
    t.log(line);
  });
  axe = await readFile(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
  dir = await mkdtemp(path.join(os.tmpdir(), 'report-page-'));
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
});

test.after.always(async () => {
  await browser.close();
  await rm(dir, { recursive: true });
});

interface Opened {
  readonly page: Page;
  /** Everything that a page should not do. */
  readonly complaints: string[];
}

interface Screen {
  readonly width: number;
  readonly colorScheme: 'light' | 'dark';
}

async function open(
  set: RunSet,
  language: Language,
  { width, colorScheme }: Screen = { width: 1400, colorScheme: 'light' },
): Promise<Opened> {
  const file = path.join(dir, `${set.names.join('-')}-${language}.html`);
  await writeFile(file, await pageOf(set, language));
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  const complaints: string[] = [];
  const own = pathToFileURL(file).href;
  page.on('request', (request) => {
    if (request.url() !== own && !/^(data|blob):/.test(request.url()))
      complaints.push(`request: ${request.url()}`);
  });
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(own, { timeout: 300_000 });
  // Global in the page: those that the set has something to show in.
  await page.waitForFunction(
    `(document.body.dataset.drawn ?? '0') === String(Object.keys(figures).length)`,
    undefined,
    {
      timeout: 300_000,
    },
  );
  return { page, complaints };
}

/** What axe-core finds, a line each. */
async function accessibilityFaults(page: Page): Promise<string[]> {
  await page.addScriptTag({ content: axe });
  const { violations } = await page.evaluate<AxeResults>('axe.run()');
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

interface AxeResults {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

/** Whether it is true within five seconds: figures are drawn anew a frame after the pointer has moved. */
async function comesTrue(isTrue: () => Promise<boolean>): Promise<boolean> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    if (await isTrue()) return true;
    await sleep(100);
  }
  return false;
}

for (const language of languages) {
  test.serial(`draws every figure without a complaint or a request (${language})`, async (t) => {
    const { page, complaints } = await open(syntheticSet({ repeats: 2 }), language);
    t.deepEqual(complaints, []);
    for (const { name } of figures) {
      const box = await page.locator(`[data-figure="${name}"] svg`).first().boundingBox();
      t.true((box?.width ?? 0) > 300 && (box?.height ?? 0) > 100, name);
      const marks = await page
        .locator(
          `[data-figure="${name}"] svg .mark-symbol path, [data-figure="${name}"] svg .mark-rect path, [data-figure="${name}"] svg .mark-line path`,
        )
        .count();
      t.true(marks > 5, `${name} has ${marks} marks`);
    }
    await page.close();
  });
}

test.serial('draws recorded runs', async (t) => {
  const set = await readSet([path.join(import.meta.dirname, '../testing/fixtures/lab')]);
  const { page, complaints } = await open(set, 'en');
  t.deepEqual(complaints, []);
  t.true((await page.locator('#runs').textContent())?.includes('rw-16-precopy-r1'));
  await page.close();
});

test.serial('a bar shows its numbers', async (t) => {
  const { page, complaints } = await open(syntheticSet(), 'en');
  const figure = page.locator('[data-figure="figure-08-total-time"]');
  await figure.scrollIntoViewIfNeeded();
  await figure.locator('svg .mark-rect.role-mark path').first().hover();
  const tooltip = page.locator('#vg-tooltip-element.visible');
  await tooltip.waitFor();
  const text = (await tooltip.textContent()) ?? '';
  t.regex(text, /Total migration time/);
  t.regex(text, /pre-copy|restore/);
  t.deepEqual(complaints, []);
  await page.close();
});

test.serial('a point of a curve shows its numbers, and the wheel zooms with Ctrl only', async (t) => {
  const { page, complaints } = await open(syntheticSet(), 'en');
  const figure = page.locator('[data-figure="figure-17-tps-rw"]');
  await figure.scrollIntoViewIfNeeded();
  const box = await figure.locator('svg .mark-line.role-mark path').first().boundingBox();
  if (box === null) throw new Error('no curve');
  const ticks = async () => (await figure.locator('svg .role-axis-label text').allTextContents()).join(' ');
  const before = await ticks();

  await figure.locator('svg .mark-symbol.role-mark path').first().hover({ force: true });
  const tooltip = page.locator('#vg-tooltip-element.visible');
  await tooltip.waitFor();
  t.regex((await tooltip.textContent()) ?? '', /Transactions per second/);

  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const scrollY = (): Promise<number> => page.evaluate('window.scrollY');
  const scrolledFrom = await scrollY();
  await page.mouse.wheel(0, -200);
  t.true(await comesTrue(async () => (await scrollY()) !== scrolledFrom), 'the wheel scrolls the page');
  t.is(await ticks(), before);
  await page.mouse.wheel(0, 200);
  t.true(await comesTrue(async () => (await scrollY()) === scrolledFrom));
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -400);
  await page.keyboard.up('Control');
  t.true(await comesTrue(async () => (await ticks()) !== before), 'the wheel zooms');
  await page.mouse.dblclick(box.x + box.width / 2, box.y + box.height / 2);
  t.true(await comesTrue(async () => (await ticks()) === before), 'a double click resets');
  t.deepEqual(complaints, []);
  await page.close();
});

test.serial('a click on an entry of a legend shows only what has it', async (t) => {
  const { page, complaints } = await open(syntheticSet({ scenarios: ['rw'] }), 'en');
  const figure = page.locator('[data-figure="figure-08-total-time"]');
  await figure.scrollIntoViewIfNeeded();
  const bars = figure.locator('svg .mark-rect.role-mark path[fill="#a779c9"]');
  const others = figure.locator('svg .mark-rect.role-mark path[fill="#393939"]');
  const [shown, hidden] = [await bars.count(), await others.count()];
  t.true(shown > 0 && hidden > 0);
  await figure.locator('svg .role-legend-label text', { hasText: 'restore' }).click();
  t.true(await comesTrue(async () => (await others.count()) === 0), 'the others are gone');
  t.is(await bars.count(), shown);
  await figure.locator('svg .role-legend-label text', { hasText: 'restore' }).click();
  t.true(await comesTrue(async () => (await others.count()) === hidden), 'a second click brings them back');
  t.deepEqual(complaints, []);
  await page.close();
});

const screens: readonly Screen[] = [
  { width: 1400, colorScheme: 'light' },
  { width: 1400, colorScheme: 'dark' },
  { width: 400, colorScheme: 'dark' },
];
for (const screen of screens) {
  test.serial(`axe-core finds nothing, ${screen.colorScheme}, ${screen.width} pixels wide`, async (t) => {
    const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16], repeats: 2 });
    const { page, complaints } = await open(set, 'en', screen);
    t.deepEqual(await accessibilityFaults(page), []);
    for (const graphic of await page.locator('svg.marks').all()) {
      t.is(await graphic.getAttribute('role'), 'img');
      t.truthy(await graphic.getAttribute('aria-label'));
      const caption = page.locator(`[id="${(await graphic.getAttribute('aria-describedby')) ?? ''}"]`);
      t.regex((await caption.textContent()) ?? '', /synthetic/);
    }
    t.deepEqual(complaints, []);
    await page.close();
  });
}

const [oneRun] = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16], engines: ['restore'] }).runs;
if (oneRun === undefined) throw new Error('no run');
const place = { set: 'odd', scenario: 'rw', paperRowGib: 16, engine: 'precopy' };
const oddSets: readonly (readonly [what: string, Partial<RunSet>, says: RegExp])[] = [
  ['no run', {}, /No run has ended with numbers/],
  ['one run', { runs: [oneRun] }, /RW, 16 GiB row/],
  [
    'one that failed',
    { leftOut: [{ name: 'rw-16-precopy-r1', reason: 'failed: the target ended' }], planned: [place] },
    /1 runs? (is|are) not in these numbers/,
  ],
  [
    'a load that was interrupted, and a method that did not converge',
    {
      runs: [
        { ...oneRun, row: { ...oneRun.row, load_interrupted: true } },
        {
          ...oneRun,
          name: 'rw-16-precopy-r1',
          row: { ...oneRun.row, engine: 'precopy', outcome: 'not-converged', total_time_ms: undefined },
        },
      ],
    },
    /lost connections or was restarted: rw-16-restore-r1/,
  ],
  [
    'an old run',
    { runs: [{ ...oneRun, row: oldRowOf(oneRun.row), series: new Map(), events: [] }] },
    /restore/,
  ],
];

/** Without what was measured later, or never. */
function oldRowOf(row: RunRow): RunRow {
  const missing = {
    downtime_client_ms: undefined,
    downtime_heartbeat_ms: undefined,
    content_bytes: undefined,
  };
  return { ...row, ...missing, efficiency: undefined, tps_recovery_measurable: undefined };
}

for (const [what, parts, says] of oddSets) {
  test.serial(`a set of ${what}`, async (t) => {
    const set: RunSet = {
      names: ['odd'],
      runs: [],
      leftOut: [],
      planned: [],
      recordedPlans: ['odd'],
      ...parts,
    };
    const { page, complaints } = await open(set, 'en', { width: 400, colorScheme: 'light' });
    t.regex((await page.locator('#results').textContent()) ?? '', says);
    t.deepEqual(await accessibilityFaults(page), []);
    t.true(await page.evaluate('document.documentElement.scrollWidth <= 400'));
    t.deepEqual(complaints, []);
    await page.close();
  });
}

test.serial(
  'a telephone shows all of the page by scrolling down, and what was found stands first',
  async (t) => {
    const { page, complaints } = await open(syntheticSet(), 'en', { width: 400, colorScheme: 'dark' });
    t.true(await page.evaluate('document.documentElement.scrollWidth <= 400'));
    t.is(await page.locator('main section').first().getAttribute('id'), 'results');
    t.regex((await page.locator('#results').textContent()) ?? '', /restore/);
    // Panels below each other are as wide as the screen.
    for (const name of ['figure-12-remaining-memory-idle', 'extra-05-phases']) {
      const box = await page.locator(`[data-figure="${name}"] svg.marks`).boundingBox();
      t.true((box?.width ?? 1000) < 400, name);
    }
    t.is(
      await page.evaluate('getComputedStyle(document.documentElement).backgroundColor'),
      'rgb(21, 24, 28)',
    );
    const shots = process.env['PAGE_SCREENSHOTS'];
    if (shots !== undefined) await page.screenshot({ path: path.join(shots, 'dark-400.png') });
    t.deepEqual(complaints, []);
    await page.close();
  },
);
