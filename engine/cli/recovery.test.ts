/** What a recovery file may name: it lies where QEMU's user may write, and root reads it. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { identityOf, type ProcessIdentity } from '../../foundation/process-identity.ts';
import { type RecoveryFile, writeRecoveryFile } from '../recovery/recovery-file.ts';
import { writeStorageFile } from '../recovery/storage-file.ts';
import type { EngineOutcome } from '../core/engine-options.ts';
import { recoverFrom, RecoveryKeeper, StorageRecoveryKeeper } from './recovery.ts';

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

test('places of storage are refused for a recovery from memory', async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-recovery-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const recovery = path.join(folder, 'outgoing.recovery');
  const blocks = [{ name: 'ram0', pageCount: 1 }];
  writeRecoveryFile(recovery, { ram: [], processes: [], ramSectionId: 2, blocks });
  const storage = [{ name: undefined, location: '/a' }];
  await t.throwsAsync(
    recoverFrom(recovery, { target: '/nowhere', stallLimit: 1, storage }, () => undefined, {
      subscribe: () => undefined,
    }),
    { message: /--storage is of no use/ },
  );
});

/** A file of `target`, whose storage is at `location`, and a target that waits: this process, which answers nothing. */
async function whileTargetWaits(
  target: ProcessIdentity,
  location: string,
  body: (paths: { readonly folder: string; readonly file: string; readonly socket: string }) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-recovery-'));
  const [file, socket] = [path.join(folder, 'incoming.recovery'), path.join(folder, 'socket')];
  const server = createServer((connection) => {
    connection.on('error', () => undefined).end();
  }).listen(socket);
  try {
    await once(server, 'listening');
    const head = {
      places: [{ location }],
      sources: [{ kind: 'disk', disk: 'vda' } as const],
      ramSectionId: 2,
    };
    const blocks = [{ name: 'ram0', pageCount: 1 }];
    await writeStorageFile(file, { target, ...head, hashKey: 'ab'.repeat(32), blocks }, []);
    await body({ folder, file, socket });
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
}

const self = identityOf(process.pid) ?? { pid: process.pid, startTime: '' };
const quietly = [() => undefined, { subscribe: () => undefined }] as const;

test('a recovery from storage is of the one target whose it is', async (t) => {
  await whileTargetWaits({ ...self, startTime: '1' }, '/nonexistent', async ({ file, socket }) => {
    await t.throwsAsync(recoverFrom(file, { target: socket, stallLimit: 1 }, ...quietly), {
      code: 'another-vm',
      message: /is not seen to wait on/,
    });
    t.true(existsSync(file));
  });
  await whileTargetWaits(self, '/nonexistent', async ({ folder, file, socket }) => {
    const nobodyHere = path.join(folder, 'nobody-listens');
    await t.throwsAsync(recoverFrom(file, { target: nobodyHere, stallLimit: 1 }, ...quietly), {
      code: 'another-vm',
    });
    // The target is spoken to, and ends the connection.
    t.like(await recoverFrom(file, { target: socket, stallLimit: 1 }, ...quietly), { result: 'failed' });
    t.true(existsSync(file));
  });
});

asRoot('a recovery from storage opens it with the rights of the user who may write its file', async (t) => {
  const disk = path.join(mkdtempSync(path.join(os.tmpdir(), 'poolshift-disk-')), 'disk');
  chmodSync(path.dirname(disk), 0o755);
  t.teardown(() => {
    rmSync(path.dirname(disk), { recursive: true });
  });
  writeFileSync(disk, Buffer.alloc(4096), { mode: 0o600 });
  await whileTargetWaits(self, disk, async ({ folder, file, socket }) => {
    chmodSync(folder, 0o755);
    const main = path.join(import.meta.dirname, 'main.ts');
    for (const [owner, event] of [
      [nobody, 'storage-unusable'],
      [0, 'storage'],
    ] as const) {
      chownSync(file, owner, owner);
      const said = await new Promise<string>((resolve) => {
        execFile(
          process.execPath,
          [main, 'recover', file, '--target', `unix:${socket}`, '--json'],
          (_, stdout) => {
            resolve(stdout);
          },
        );
      });
      t.regex(said, new RegExp(`"event":"${event}",`));
    }
  });
});

test('what is kept goes when the migration is over, also while it is written, and stays where it is needed', async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-recovery-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const incoming = path.join(folder, 'incoming');
  const block = { index: 0, name: 'ram0', pageCount: 1, lengthBytes: 4096 };
  const rest = {
    target: self,
    sources: [],
    hashKey: 'ab'.repeat(32),
    ramSectionId: 2,
    blocks: [block],
    parts: [],
  };
  const error = new Error('it broke');
  for (const [outcome, stays] of [
    [{ result: 'migrated' }, false],
    [{ result: 'incomplete', error }, true],
    [{ result: 'failed', error }, false],
    [{ result: 'in-doubt', error }, true],
  ] as const) {
    const keeper = new StorageRecoveryKeeper(incoming, [{ name: undefined, location: 'disk' }]);
    const kept = keeper.keep(rest).catch(() => undefined);
    await keeper.end(outcome);
    t.is(existsSync(`${incoming}.recovery`), stays, outcome.result);
    t.false(existsSync(`${incoming}.recovery.new`));
    await kept;
  }
  await t.throwsAsync(new StorageRecoveryKeeper(incoming, []).keep({ ...rest, target: undefined }), {
    code: 'file',
    message: /cannot be seen/,
  });
});

test('what another migration has left stays, until one that has kept something ends well', (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-recovery-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const listen = path.join(folder, 'outgoing');
  const keeper = () => new RecoveryKeeper(listen, [{ kind: 'pid', pid: process.pid }], undefined);
  const moved = { ramSectionId: 2, blocks: [] };
  const ended = (result: 'incomplete' | 'cancelled' | 'migrated') => ({ result }) as EngineOutcome;
  const broken = keeper();
  broken.keep(moved);
  broken.end(ended('incomplete'));
  keeper().end(ended('cancelled'));
  t.true(existsSync(`${listen}.recovery`));
  const again = keeper();
  again.keep(moved);
  again.end(ended('migrated'));
  t.false(existsSync(`${listen}.recovery`));
});
