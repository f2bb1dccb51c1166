/** What a lab that is gone has left on the machine. */
import { rm } from 'node:fs/promises';
import { removeCgroups } from '../../../scripts/cgroups.ts';
import { exportFolder, labFolder } from './lab-folder.ts';

/** Removes its folder, its disk images and its cgroups. */
export async function removeLeftovers(): Promise<void> {
  await removeCgroups('poolshift');
  await rm(labFolder, { recursive: true, force: true });
  await rm(exportFolder(), { recursive: true, force: true });
}
