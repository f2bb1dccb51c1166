/**
 * Measured numbers of the documentation come from something recorded: a number with a unit stands in the block of
 * docs/results.md, or in the file below results/, to which its paragraph, list item or table row links. What was never
 * measured (limits, defaults, what a machine must have) is named below.
 */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';

const root = path.join(import.meta.dirname, '..');
const pages = globSync('{*.md,docs/*.md}', { cwd: root }).filter(
  (page) => page !== 'docs/results.md' && page !== 'CHANGELOG.md',
);

/** By page and by what they are: numbers that nobody measured. */
const notMeasured: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'README.md': {
    'what a machine must have': ['6 GiB', '10 GiB'],
    'what `--dry-run` prints': ['7 minutes'],
  },
  'docs/agent.md': {
    'limits and defaults of guest/agent/': [
      ...['2 s', '10 s', '15 s', '40 s', '50 s', '75 s', '16 MiB', '16 GiB', '16 TiB'],
      ...['384 MiB', '40 bytes', '4 KiB'],
    ],
    'sizes of the bench': ['1 GiB', '16 KiB'],
  },
  'docs/doctor.md': { 'what the checks do': ['50 ms', '500 ms', '64 MiB', '3 s', '1 MiB'] },
  'docs/operate.md': { 'limits of operate/': ['10 s', '30 s'] },
  'docs/engine.md': {
    'limits and defaults of engine/': [
      ...['200 ms', '5 s', '10 s', '30 s', '4 KiB', '4 MiB', '64 MiB', '128 MiB', '256 MiB', '512 MiB'],
      ...['4 GiB', '1 TiB', '13 bytes'],
    ],
    'size of the bench': ['256 GiB'],
    'limit of OpenSSL (ssl/statem/statem_local.h, CLIENT_HELLO_MAX_LENGTH)': ['128 KiB'],
  },
  'docs/engine-design.md': {
    'limits and defaults of engine/': [
      ...['30 ms', '150 ms', '0.1 s', '2 s', '10 s', '256 KiB', '1 MiB', '4 %', '12 %'],
    ],
  },
  'docs/early-resume.md': { 'limits and defaults of engine/': ['16 KiB', '8 bytes', '20 bytes'] },
  'docs/measurements.md': {
    'TPC-C’s mix, and the size that harness/workload/ plans with': ['43 %', '45 %', '74 MiB'],
    'definitions, in harness/probes/ and record/derive/': [
      ...['5 ms', '10 ms', '20 ms', '40 ms', '100 ms', '200 ms', '250 ms', '5 s', '10 s', '30 s', '8 MiB'],
      ...['1.8 %', '5 %', '90 %', '95 %'],
    ],
    'headers of TCP, IP and Ethernet in a full frame': ['4 %'],
  },
  'docs/performance.md': {
    'how the lab is set': ['125 Mbit/s', '300 ms'],
    'definition of slow-seconds': ['1 s'],
    'the paper’s gain': ['2.3 times'],
    'a time limit of experiments/recipes/dirty-rate.ts': ['400 s'],
  },
  'docs/predict.md': { 'a parameter of the simulation': ['2 ms'] },
  'docs/real-hosts.md': {
    'limits of the host’s lock': ['60 s'],
    'what a machine must have': ['15 GiB'],
    'sizes of the paper’s VMs and of tmpfs': ['24 GiB', '28 GiB', '90 %'],
  },
  'docs/report.md': {
    'thresholds of report/compare/': [
      ...['1.5 times', '25 ms', '100 ms', '200 ms', '2 s', '1 MiB', '5 %', '10 %', '15 %', '20 %', '95 %'],
    ],
  },
  'docs/rivals.md': {
    'settings of Nova and of the methods': ['50 ms', '45 ms', '75 s', '500 ms', '1 s', '30 s'],
  },
  'docs/soak.md': { 'limits of the checker': ['90 s'] },
  'docs/stream-format.md': {
    'the format and the reader’s limits': ['16 bytes', '255 bytes', '512 bytes', '4096 bytes', '4,360 bytes'],
  },
  'docs/what-runs-where.md': { 'sizes of blocks and memory': ['1 KiB', '4 KiB', '4 GiB'] },
};

const units =
  'ms|s|min|minutes?|hours?|days?|kB|MB|GB|KiB|MiB|GiB|TiB|bytes|[KMG]bit/s|[kMG]B/s|%|times|seconds?';
const numberWithUnit = new RegExp(
  String.raw`(?<![\w.,-])([\d,]*\d(?:\.\d+)?)(?: (?:to|and|or) ([\d,]*\d(?:\.\d+)?))? (${units})(?![\w/])`,
  'g',
);

/** Paragraphs, list items and table rows, without code and what is generated. */
const passagesOf = (page: string): string[] =>
  readFileSync(path.join(root, page), 'utf8')
    .replaceAll(/^<!-- (\w+) -->$[^]*?^<!-- \/\1 -->$/gm, '')
    .replaceAll(/^```[^]*?^```/gm, '')
    .replaceAll(/^ {4}.*$/gm, '')
    .split(/\n\n|\n(?=[|#-]|\d+\. )/)
    .map((passage) => passage.replaceAll(/`[^`\n]*`/g, '`code`').replaceAll('\n', ' '));

/** What the passage's links lead to, where that is recorded. */
function recordedIn(page: string, passage: string): string {
  const texts = [...passage.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => {
    const [name = '', anchor = ''] = target.split('#');
    const file = path.join(path.dirname(page), name);
    if (file.startsWith('results/bench/')) return readFileSync(path.join(root, file), 'utf8');
    if (file !== 'docs/results.md' || anchor === '') return '';
    const blocks = readFileSync(path.join(root, file), 'utf8').split('<!-- /recipe -->');
    const heading = (block: string): string =>
      (/^## (.*)$/m.exec(block.slice(block.indexOf('<!-- recipe ')))?.[1] ?? '')
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-');
    return blocks.find((block) => heading(block) === anchor) ?? '';
  });
  return texts.join('\n');
}

/** Whether the text has it, perhaps with more digits; a ratio in a claim, seconds perhaps in ms. */
function has(text: string, number: string, unit: string): boolean {
  const [value, decimals] = [Number(number.replaceAll(',', '')), number.split('.')[1]?.length ?? 0];
  const tolerance = 0.5 * 10 ** -decimals + 1e-9;
  const searched =
    unit === 'times' ? (text.match(/^\| .*\| (?:holds|does not hold).*$/gm) ?? []).join('\n') : text;
  return [...searched.matchAll(/\d+(?:\.\d+)?/g)].some(([found]) =>
    (unit === 's' ? [1, 1000] : [1]).some((scale) => Math.abs(Number(found) / scale - value) <= tolerance),
  );
}

for (const page of pages) {
  test(`every number of ${page} was recorded, or not measured`, (t) => {
    const known = Object.values(notMeasured[page] ?? {}).flat();
    const seen = new Set<string>();
    const unknown = passagesOf(page).flatMap((passage) => {
      const recorded = recordedIn(page, passage);
      return [...passage.matchAll(numberWithUnit)].flatMap(([, from = '', to, unit = '']) =>
        [from, to].flatMap((number) => {
          if (number === undefined) return [];
          const text = `${number} ${unit}`;
          if (!known.includes(text)) return has(recorded, number, unit) ? [] : [text];
          seen.add(text);
          return [];
        }),
      );
    });
    t.deepEqual(unknown, [], 'link to what recorded it, or say in this test what it is');
    t.deepEqual(
      known.filter((text) => !seen.has(text)),
      [],
      'no longer there',
    );
  });
}
