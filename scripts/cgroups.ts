/** The cgroups that we make at the top, where each hierarchy of this machine is mounted. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { $ } from 'zx';

/** Removes a tree of them, of which all processes have ended or are about to: the kernel empties it with a delay. */
export async function removeCgroups(name: string): Promise<void> {
  for (const hierarchy of ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup']) {
    const folder = path.join(hierarchy, name);
    for (let attempt = 0; attempt < 100 && existsSync(folder); attempt += 1) {
      await $({ nothrow: true, quiet: true })`find ${folder} -depth -type d -exec rmdir '{}' ';'`;
      if (existsSync(folder)) await sleep(50);
    }
  }
}
