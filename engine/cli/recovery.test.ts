/** What a recovery file may name: it lies where QEMU's user may write, and root reads it. */
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { type RecoveryFile, writeRecoveryFile } from '../recovery/recovery-file.ts';
import { recoverFrom } from './recovery.ts';

const asRoot = process.getuid?.() === 0 ? test : test.skip;
const nobody = 65_534;

asRoot('a recovery reads no memory that is not of the user who may write its file', async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-recovery-'));
  try {
    const recovery = path.join(folder, 'outgoing.recovery');
    const ram = path.join(folder, 'ram');
    writeFileSync(ram, Buffer.alloc(4096));
    const recoverWith = (place: RecoveryFile['ram'][number], fileOwner: number) => {
      const blocks = [{ name: 'ram0', pageCount: 1 }];
      writeRecoveryFile(recovery, { ram: [place], processes: [], ramSectionId: 2, blocks });
      chownSync(recovery, fileOwner, 0);
      const target = { target: path.join(folder, 'nobody-listens'), stallLimit: 1 };
      return recoverFrom(recovery, target, () => undefined, { subscribe: () => undefined }).then(
        ({ result }) => result,
        (error: unknown) => (error as Error).message,
      );
    };
    const another = /names memory of another user than its own, 65534/;
    t.regex(await recoverWith({ kind: 'file', path: ram }, nobody), another);
    t.regex(await recoverWith({ kind: 'pid', pid: process.pid }, nobody), another);
    chownSync(ram, nobody, 0);
    t.notRegex(await recoverWith({ kind: 'file', path: ram }, nobody), another);
    // Root's own names what it likes.
    t.notRegex(await recoverWith({ kind: 'file', path: ram }, 0), another);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
