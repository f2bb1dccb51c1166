/** `npm run lint`: types, eslint, prettier, layers and shell scripts; every check runs, the first failure sets the status. */
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

let failed = 0;
for (const [name, command, ...arguments_] of checks) {
  const startedMs = performance.now();
  const { exitCode } = await $({
    preferLocal: true,
    nothrow: true,
    stdio: ['ignore', 'inherit', 'inherit'],
  })`${command} ${arguments_}`;
  const took = secondsText(performance.now() - startedMs);
  console.log(`${exitCode === 0 ? 'ok' : 'FAILED'}  ${name} (${took})`);
  if (exitCode !== 0) failed += 1;
}
process.exitCode = failed === 0 ? 0 : 1;
