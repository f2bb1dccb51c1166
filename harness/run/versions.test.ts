import path from 'node:path';
import test from 'ava';
import { manifestSchema } from '../../record/manifest.ts';
import { collectMachine, collectRevision } from './versions.ts';

test('this machine and this checkout', async (t) => {
  const machine = manifestSchema.shape.machine.parse(await collectMachine());
  t.true(machine.cores >= 1 && machine.memoryBytes > 2 ** 28 && machine.kernel !== '');
  const revision = await collectRevision(path.resolve(import.meta.dirname, '../..'));
  t.regex(revision.commit ?? '', /^[0-9a-f]{40}$/);
  t.deepEqual(await collectRevision('/'), { dirty: true }, 'no git, no commit');
});
