import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';

/** Everything of a lab that is on the machine. */
async function placesOf(name: string): Promise<readonly string[]> {
  const program = `const { labFolder, labLockFile, labCgroups, exportFolder } = await import('./lab-folder.ts');
console.log(JSON.stringify([labFolder, labLockFile, exportFolder(), ...labCgroups]));`;
  const { stdout } = await execa(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: import.meta.dirname,
    env: { POOLSHIFT_LAB: name },
  });
  return JSON.parse(stdout) as readonly string[];
}

test('a second lab shares no place with the ordinary one', async (t) => {
  const [ordinary, second] = [await placesOf(''), await placesOf('2')];
  t.is(ordinary[0], '/run/poolshift');
  t.is(second[0], '/run/poolshift-2');
  for (const place of second) t.false(ordinary.includes(place), place);
  const folders = (places: readonly string[]) => places.map((place) => path.dirname(place));
  t.deepEqual(folders(second), folders(ordinary));
});
