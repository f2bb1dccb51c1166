/** What a lab that is gone has left on the machine. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { $ } from 'zx';
import { exportFolder, labCgroups, labFolder } from './lab-folder.ts';

/** Removes its folder, its disk images and its cgroups, which the kernel empties with a delay. */
export async function removeLeftovers(): Promise<void> {
  for (const folder of labCgroups) {
    for (let attempt = 0; attempt < 100 && existsSync(folder); attempt += 1) {
      await $({ nothrow: true, quiet: true })`find ${folder} -depth -type d -exec rmdir '{}' ';'`;
      if (existsSync(folder)) await sleep(50);
    }
  }
  await rm(labFolder, { recursive: true, force: true });
  await rm(exportFolder(), { recursive: true, force: true });
}
