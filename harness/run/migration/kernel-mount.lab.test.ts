/**
 * The destination engine's reader on an export that Debian's stock kernel has mounted: the lab's hosts have no NFS client
 * in their kernel, so the reader runs in a guest. It reads with O_DIRECT, verifies, and asks for what the server changed
 * or does not have any more. About 40 seconds under TCG.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import { build } from 'esbuild';
import { type RestoreFileAnswer, restoreFileHasher } from '../../../engine/storage/testing/restore-file.ts';
import { makeInitrd } from '../../../guest/image/initrd.ts';
import { prepareGuestImage } from '../../../guest/image/prepare-guest-image.ts';
import { prepareGuestLab } from '../../vm/guest.fixture.ts';
import { consoleTail, startVm, stopVm } from '../../vm/machine.ts';
import { firstVm } from '../../vm/vm-place.ts';

const pageBytes = 4096;
const pageCount = 4096;
const rowsPerTable = 20_000;
const program = path.resolve(import.meta.dirname, '../../../engine/storage/testing/restore-file-on-port.ts');

test('pages come from a mount of the kernel, with O_DIRECT', async (t) => {
  t.timeout(15 * 60_000);
  const startedMs = performance.now();
  const log = (line: string): void => {
    t.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s  ${line}`);
  };
  const { testbed, machine } = await prepareGuestLab(t, {
    owner: 'kernel-mount.lab.test.ts',
    rates: { migration: 250e6, storage: 250e6, service: 250e6 },
    rowsPerTable,
    agent: false,
    log,
  });
  const { dst, nfs } = testbed.hosts;
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-kernel-mount-'));
  t.teardown(() => rm(folder, { recursive: true }));

  const content = randomBytes(pageCount * pageBytes);
  const hashes = new Uint32Array(2 * pageCount);
  for (let page = 0; page < pageCount; page++)
    restoreFileHasher.hashPage(content, page * pageBytes, hashes, 2 * page);
  const put = async (name: string, bytes: Uint8Array | string): Promise<void> => {
    await writeFile(path.join(folder, name), bytes);
    await nfs.copyTo(path.join(folder, name), `${testbed.exportPath}/${name}`);
  };
  const target = 'node18';
  await build({
    ...{
      entryPoints: [program],
      outfile: path.join(folder, 'restore.mjs'),
      bundle: true,
      logLevel: 'silent',
    },
    ...{ platform: 'node', target, format: 'esm' },
  });
  await put('restore.mjs', await readFile(path.join(folder, 'restore.mjs')));
  await put('kernel-mount.bin', content);

  // What the guest starts in the agent's place is on the mount as well.
  await writeFile(path.join(folder, 'agent.js'), "import('/tmp/nfs/restore.mjs');\n");
  const image = await prepareGuestImage({ dbms: 'mariadb', tables: 2, rowsPerTable, log });
  const initrdPath = await makeInitrd({
    base: image.initrdPath,
    authorizedKey: await readFile(testbed.guestKeys.authorizedKeyPath, 'utf8'),
    agentBundlePath: path.join(folder, 'agent.js'),
    log,
  });
  const fileSystem = `${testbed.networks.service.addresses.nfs}:/export`;
  await startVm(dst, { ...machine, initrdPath, nfsDataExport: fileSystem });
  t.teardown(() => stopVm(dst));

  const socket = connect(await dst.forwardSocket(firstVm.machine.paths.agentSocket));
  t.teardown(() => socket.destroy());
  const answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  const request = `${Buffer.from(hashes.buffer).toString('base64')}\n`;
  const restore = async (): Promise<RestoreFileAnswer> => {
    socket.write(request);
    const next = await answers.next();
    if (next.done === true) throw new Error(`the guest is gone:\n${await consoleTail(dst)}`);
    const answer = JSON.parse(next.value) as RestoreFileAnswer;
    log(JSON.stringify({ ...answer, asked: answer.asked.length, failures: answer.failures.slice(0, 1) }));
    return answer;
  };
  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

  const whole = await restore();
  t.regex(whole.mount, new RegExp(`^${fileSystem} /tmp/nfs nfs4 .*vers=4\\.2.*,hard,.*proto=tcp`));
  // O_DIRECT of x86-64 (Linux, include/uapi/asm-generic/fcntl.h).
  t.not(parseInt(whole.openFlags, 8) & 0o40000, 0, `opened with ${whole.openFlags}`);
  t.like(whole, { restoredPages: pageCount, mismatchedPages: 0, unreadablePages: 0, failures: [] });
  t.is(whole.sha256, sha256(content));

  // The server's file changes while the reader has it open.
  const changed = [0, 1, 777, 2048, pageCount - 1];
  for (const page of changed)
    await nfs.run(
      `printf changed | dd of=${testbed.exportPath}/kernel-mount.bin bs=1 seek=${page * pageBytes} conv=notrunc status=none`,
    );
  const without = Buffer.from(content);
  for (const page of changed) without.fill(0, page * pageBytes, (page + 1) * pageBytes);
  const second = await restore();
  t.deepEqual(second.asked, changed);
  t.like(second, {
    restoredPages: pageCount - changed.length,
    mismatchedPages: changed.length,
    failures: [],
  });
  t.is(second.sha256, sha256(without));

  // Its second half goes: those reads fail, and their pages are asked for.
  const left = pageCount / 2;
  await nfs.run(`truncate --size=${left * pageBytes} ${testbed.exportPath}/kernel-mount.bin`);
  const third = await restore();
  t.deepEqual(third.asked, [
    ...changed.filter((page) => page < left),
    ...Array.from({ length: left }, (_, i) => left + i),
  ]);
  t.is(third.unreadablePages, left);
  t.regex(third.failures[0] ?? '', /ends before/);
  t.is(third.sha256, sha256(without.fill(0, left * pageBytes)));
});
