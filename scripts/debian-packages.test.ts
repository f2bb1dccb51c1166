import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { hostPackages } from './debian-packages.ts';

const script = readFileSync(path.join(import.meta.dirname, '../vagrant/provision.sh'), 'utf8');

for (const [role, packages] of Object.entries(hostPackages))
  test(`provision.sh installs what a machine of the role ${role} is to have`, (t) => {
    const list = new RegExp(`^${role}=\\(([^)]*)\\)$`, 'm').exec(script)?.[1];
    t.deepEqual(list?.trim().split(/\s+/), [...packages]);
  });
