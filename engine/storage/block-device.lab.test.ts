/** Shared storage as a block device: a loop device, which takes O_DIRECT and has no size that `stat` would tell. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { CodedError } from '../../foundation/coded-error.ts';
import { allocateAligned, openFileStorage } from './file-storage.ts';

const blockBytes = 4096;

const { exitCode } = await execa('losetup', ['--find'], { reject: false });
/** Some containers have no loop devices. */
const withLoopDevices = exitCode === 0 ? test.serial : test.serial.skip;

/** Gives the device and the file behind it. */
async function attach(
  t: ExecutionContext,
  content: Uint8Array,
): Promise<{ readonly device: string; readonly file: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-block-device-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'disk');
  await writeFile(file, content);
  const { stdout: device } = await execa('losetup', ['--find', '--show', file]);
  t.teardown(() => execa('losetup', ['--detach', device]));
  return { device, file };
}

for (const blocks of [1, 2, 300, 4096]) {
  withLoopDevices(
    `a block device of ${blocks} blocks is as long as it is, and reads what it has`,
    async (t) => {
      const content = randomBytes(blocks * blockBytes);
      const storage = await openFileStorage((await attach(t, content)).device);
      t.teardown(() => storage.close());
      t.is(storage.sizeBytes, content.length);
      const into = allocateAligned(content.length);
      await storage.read(into, 0);
      t.true(into.equals(content));
      const last = into.subarray(0, blockBytes);
      await storage.read(last, content.length - blockBytes);
      t.true(last.equals(content.subarray(content.length - blockBytes)));
      await t.throwsAsync(storage.read(into.subarray(0, blockBytes), content.length), {
        instanceOf: CodedError,
        name: 'StorageError',
      });
    },
  );
}

withLoopDevices(
  'what another host has written is read, not what the page cache of this one holds',
  async (t) => {
    const { device, file } = await attach(t, Buffer.alloc(2 * blockBytes, 1));
    const storage = await openFileStorage(device);
    t.teardown(() => storage.close());
    const into = allocateAligned(blockBytes);
    await storage.read(into, blockBytes);
    t.true(into.every((byte) => byte === 1));
    // Behind the device's back.
    await writeFile(file, Buffer.alloc(2 * blockBytes));
    await storage.read(into, blockBytes);
    t.true(into.every((byte) => byte === 0));
  },
);
