/** The ssh keys of the local lab. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { $ } from 'zx';
import { guestHostKeyPath, labFolder } from './lab-folder.ts';

/** The lab's own key and the guest's host key; the keeper adds the hosts'. */
export async function makeKeys(): Promise<void> {
  for (const [file, comment] of [
    [path.join(labFolder, 'id'), 'poolshift lab'],
    [guestHostKeyPath, 'poolshift guest'],
  ] as const)
    await $({ quiet: true })`ssh-keygen -q -t ed25519 -N '' -C ${comment} -f ${file}`;
  const guestKey = await readFile(`${guestHostKeyPath}.pub`, 'utf8');
  await writeFile(
    path.join(labFolder, 'known_hosts'),
    `guest ${guestKey.split(' ').slice(0, 2).join(' ')}\n`,
  );
}
