import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { hostPackages } from './debian-packages.ts';

const script = readFileSync(path.join(import.meta.dirname, '../vagrant/provision.sh'), 'utf8');

for (const [role, packages] of Object.entries(hostPackages))
  test(`provision.sh installs what a machine of the role ${role} is to have`, (t) => {
    const list = new RegExp(`^${role}=\\(([^)]*)\\)$`, 'm').exec(script)?.[1];
    t.deepEqual(list?.trim().split(/\s+/), [...packages]);
  });

test('an option is no folder for the packages', async (t) => {
  const program = path.join(import.meta.dirname, 'make-packages.ts');
  for (const [word, status, output] of [
    ['--help', 0, 'stdout'],
    ['--out', 2, 'stderr'],
  ] as const) {
    const result = await execa(process.execPath, [program, word], { reject: false });
    t.is(result.exitCode, status, word);
    t.regex(result[output], /^usage: npm run packages/);
  }
});
