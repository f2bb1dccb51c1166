/**
 * `npm test`: runs ava and closes with "N passed, N failed, N skipped". Lab tests need root and Debian packages, which
 * the tests' own set-up installs; `npm run test:unit` leaves them out.
 */
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { machinePackages } from './debian-packages.ts';
import { ensurePackages } from './packages.ts';

const unitOnly = process.argv.includes('--unit');
const files = process.argv.slice(2).filter((argument) => argument !== '--unit');

if (!unitOnly && process.getuid?.() !== 0) {
  console.error(
    'npm test needs root: lab tests make namespaces, containers and mounts. Run it as root, or `npm run test:unit` for the rest.',
  );
  process.exit(1);
}

if (!unitOnly) {
  await ensurePackages(machinePackages.tests, console.error);
  await ensurePackages(machinePackages.testsOfSomeSuites, console.error).catch((error: unknown) => {
    console.error(`not installed, so their tests are skipped: ${String(error)}`);
  });
  // The engine's tests run the QEMU of the hosts, and would be skipped where it is not there yet.
  await execa(process.execPath, ['harness/cli/lab.ts', 'prepare'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

const ava = execa('ava', ['--tap', ...files], {
  preferLocal: true,
  // A lab that somebody else has up is waited for, in minutes.
  env: { POOLSHIFT_LAB_WAIT: '15', ...process.env, POOLSHIFT_TESTS: unitOnly ? 'unit' : 'all' },
  stdio: ['ignore', 'pipe', 'inherit'],
  buffer: false,
  reject: false,
});
const stop = (signal: NodeJS.Signals): void => {
  ava.kill(signal);
};
process.once('SIGINT', stop);
process.once('SIGTERM', stop);

/** A run's row is longer, and stands above in full. */
const maxLineLength = 500;
const counts = { passed: 0, skipped: 0 };
/** By name, with what ava says of it. */
const failures = new Map<string, string[]>();
let ofFailure: string[] | undefined;
for await (const line of createInterface({ input: ava.stdout })) {
  const result = /^(not ok|ok) \d+ - (.*)$/.exec(line);
  if (result === null) {
    ofFailure?.push(line);
    if (!/^(TAP version|1\.\.|# (tests|pass|fail|skip))/.test(line) && line.trim() !== '') console.log(line);
    continue;
  }
  ofFailure = undefined;
  if (line.includes('# SKIP')) {
    counts.skipped += 1;
    console.log(`-  ${result[2] ?? ''}`);
  } else if (result[1] === 'ok') {
    counts.passed += 1;
    console.log(`ok ${result[2] ?? ''}`);
  } else {
    ofFailure = [];
    failures.set(result[2] ?? line, ofFailure);
    console.log(`NOT OK ${result[2] ?? ''}`);
  }
}
const { exitCode } = await ava;
// Again at the end, where they are found without reading all of it.
for (const [name, lines] of failures) {
  console.log(`failed: ${name}`);
  for (const line of lines)
    console.log(line.length > maxLineLength ? `${line.slice(0, maxLineLength)} ...` : line);
}
console.log(`${counts.passed} passed, ${failures.size} failed, ${counts.skipped} skipped`);
process.exitCode = exitCode === 0 && failures.size === 0 && counts.passed > 0 ? 0 : 1;
