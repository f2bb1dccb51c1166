/** `npm run lint`: types, eslint, prettier, layers and shell scripts; every check runs, and one that fails sets the status. */
import { globSync } from 'node:fs';
import { $ } from 'zx';
import { refuseArguments } from '../foundation/command-help.ts';
import { seconds as secondsText } from '../foundation/quantity.ts';
import { machinePackages } from './debian-packages.ts';
import { ensurePackages } from './packages.ts';

refuseArguments(
  'usage: npm run lint\nTypes, eslint, prettier, layers and shell scripts. Exit codes: 0 all is well, 1 not.',
);
const scripts = globSync([
  '{vagrant,harness,examples}/**/*.{sh,sbatch}',
  'scripts/debian/*.{postinst,prerm,postrm}',
]);
const guestScripts = globSync('guest/**/*.sh');
await ensurePackages(machinePackages.lint, console.error);

const checks: readonly (readonly [name: string, command: string, ...arguments_: string[]])[] = [
  ['types', 'tsc', '--project', '.'],
  ['eslint', 'eslint', '.', '--max-warnings', '0'],
  ['prettier', 'prettier', '--check', '--log-level', 'warn', '.'],
  [
    'layers',
    'depcruise',
    'foundation',
    'qemu',
    'experiments',
    'record',
    'harness',
    'engine',
    'guest',
    'operate',
    'report',
    'reproduce',
    'scripts',
    'vagrant',
    '--output-type',
    'err',
  ],
  ['shell scripts', 'shellcheck', ...scripts],
  // `name=` for several empty variables in one line is what it means to be.
  ['guest scripts', 'shellcheck', '--severity=warning', '--exclude=SC1007', ...guestScripts],
];

// Side by side, as each has use for one processor; what one says stays together.
const passed = await Promise.all(
  checks.map(async ([name, command, ...arguments_]) => {
    const startedMs = performance.now();
    const { exitCode, stdall } = await $({
      preferLocal: true,
      nothrow: true,
      quiet: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })`${command} ${arguments_}`;
    const took = secondsText(performance.now() - startedMs);
    console.log(`${stdall}${exitCode === 0 ? 'ok' : 'FAILED'}  ${name} (${took})`);
    return exitCode === 0;
  }),
);
process.exitCode = passed.every(Boolean) ? 0 : 1;
