/**
 * `npm test [-- SUITE | FILE ...]`: unit tests beside each other, then the lab suites in lanes (suites.ts); says where the
 * time went, and closes with "N passed, N failed, N skipped". Lab suites need root and Debian packages, which are installed
 * first; `npm run test:unit` leaves them out.
 */
import { globSync } from 'node:fs';
import path from 'node:path';
import { $ } from 'zx';
import { machinePackages } from './debian-packages.ts';
import { ensurePackages } from './packages.ts';
import { runTests, type TestsOutcome } from './run-tests.ts';
import { labOf, lanesOf, type Suite, suiteNames, suiteOf } from './suites.ts';

/** Far above the longest test, and short enough that CI's time goes on for the tests after one that hangs. */
const idleMs = 600_000;
/** A run's row is longer, and stands above in full. */
const maxLineLength = 500;
const slowestFilesNamed = 10;

const usage = `usage: npm test [-- SUITE | FILE ...]
suites: ${suiteNames.join(' ')}
Exit codes: 0 all passed, 1 not, 2 neither a suite nor a test file.`;
if (['--help', '-h'].includes(process.argv[2] ?? '')) {
  console.log(usage);
  process.exit(0);
}
const suites = selectedFiles(process.argv.slice(2));
const inLab = [...suites.keys()].some((suite) => suite !== 'unit');
if (inLab && process.getuid?.() !== 0) {
  console.error(
    'npm test needs root: lab tests make namespaces, containers and mounts. Run it as root, or `npm run test:unit` for the rest.',
  );
  process.exit(1);
}
if (inLab) await prepare();

/** Aborted by a signal: the suite that runs is ended, and no other is started. */
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    stopping.abort(signal);
  });
const outcomes = new Map<Suite, TestsOutcome>();
const startedMs = performance.now();
await runSuite('unit');
await Promise.all(
  lanesOf([...suites.keys()]).map(async (lane) => {
    for (const suite of lane) await runSuite(suite);
  }),
);
conclude();

/** Does nothing where it was not asked for, or after a signal. */
async function runSuite(suite: Suite): Promise<void> {
  const files = suites.get(suite);
  if (files === undefined || stopping.signal.aborted) return;
  console.log(`== ${suite}: ${files.length} files`);
  const kind = suite === 'unit' ? 'unit' : 'lab';
  outcomes.set(suite, await runTests(files, { kind, idleMs, signal: stopping.signal, lab: labOf(suite) }));
}

/** The files of each suite that the arguments name, in the order in which suites run; all without arguments. */
function selectedFiles(names: readonly string[]): ReadonlyMap<Suite, readonly string[]> {
  const all = globSync('**/*.test.ts', { exclude: (name) => name === 'node_modules' }).sort();
  const named = names.filter((name) => !suiteNames.some((suite) => suite === name));
  const unknown = named.filter((name) => !all.includes(path.relative('.', name)));
  if (unknown.length > 0) {
    console.error(`neither a suite (${suiteNames.join(', ')}) nor a test file: ${unknown.join(' ')}`);
    process.exit(2);
  }
  const homeless = all.filter((file) => suiteOf(file) === undefined);
  if (homeless.length > 0) {
    console.error(`in no suite of scripts/suites.ts: ${homeless.join(' ')}`);
    process.exit(2);
  }
  const files = new Set(named.map((name) => path.relative('.', name)));
  const selected = new Map<Suite, readonly string[]>();
  for (const suite of suiteNames) {
    const ofSuite = all.filter(
      (file) => suiteOf(file) === suite && (names.length === 0 || names.includes(suite) || files.has(file)),
    );
    if (ofSuite.length > 0) selected.set(suite, ofSuite);
  }
  return selected;
}

async function prepare(): Promise<void> {
  await ensurePackages(machinePackages.tests, console.error);
  await ensurePackages(machinePackages.testsOfSomeSuites, console.error).catch((error: unknown) => {
    console.error(`not installed, so their tests are skipped: ${String(error)}`);
  });
  // The engine's tests run the QEMU of the hosts, and would be skipped where it is not there yet.
  await $({ stdio: ['ignore', 'inherit', 'inherit'] })`${process.execPath} harness/cli/lab.ts prepare`;
}

/** Failures again at the end, where they are found without reading all of it; where the time went; the counts. */
function conclude(): void {
  const all = [...outcomes.values()];
  const failures = all.flatMap((outcome) => outcome.failures);
  const neverRun = all.flatMap((outcome) => outcome.neverRun);
  for (const { name, lines } of failures) {
    console.log(`failed: ${name}`);
    for (const line of lines)
      console.log(line.length > maxLineLength ? `${line.slice(0, maxLineLength)} ...` : line);
  }
  for (const file of neverRun) console.log(`never run: ${file}`);
  console.log(`time: ${((performance.now() - startedMs) / 1000).toFixed(1)} s, by suite:`);
  for (const [suite, { seconds }] of outcomes) console.log(`${seconds.toFixed(1).padStart(8)} s  ${suite}`);
  console.log('slowest files, with the CPU time of the test itself:');
  for (const { file, seconds, cpuSeconds } of all
    .flatMap((outcome) => outcome.files)
    .sort((left, right) => right.seconds - left.seconds)
    .slice(0, slowestFilesNamed))
    console.log(`${seconds.toFixed(1).padStart(8)} s ${cpuSeconds.toFixed(1).padStart(6)} s CPU  ${file}`);
  const passed = all.reduce((sum, outcome) => sum + outcome.passed, 0);
  const skipped = all.reduce((sum, outcome) => sum + outcome.skipped, 0);
  console.log(`${passed} passed, ${failures.length} failed, ${skipped} skipped`);
  const sound =
    !stopping.signal.aborted &&
    all.every(({ exitCode }) => exitCode === 0) &&
    failures.length === 0 &&
    neverRun.length === 0;
  process.exitCode = sound && passed > 0 ? 0 : 1;
}
