import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync, chmodSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Deadline } from '../deadline.ts';
import { notLookedAt } from '../page-finder.ts';
import { findProcesses } from '../processes.ts';
import { findServers } from './server-process.ts';
import { searchVersion } from './server-program.ts';

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'servers-'));
  t.teardown(() => {
    rmSync(made, { recursive: true });
  });
  return made;
}

test('a server is found by its program, which is not run', async (t) => {
  const where = folder(t);
  const program = join(where, 'mariadbd');
  const ran = join(where, 'ran');
  copyFileSync('/bin/sleep', program);
  const child = spawn(program, ['60']);
  t.teardown(() => {
    child.kill();
  });
  await once(child, 'spawn');
  // What lies at its path now would be run by who asks the program for its version.
  rmSync(program);
  writeFileSync(program, `#!/bin/sh\necho ran > ${ran}\necho Ver 10.11.19-MariaDB\n`);
  chmodSync(program, 0o755);
  const server = (await findServers()).servers.find(({ pid }) => pid === child.pid);
  t.like(server, { product: 'mariadb', version: 'unknown', userId: process.geteuid?.() ?? -1 });
  t.regex(server?.startTicks ?? '', /^\d+$/);
  t.false(existsSync(ran));
});

test('of more servers than are looked at the largest are, and the others are named', async (t) => {
  const program = join(folder(t), 'mariadbd');
  copyFileSync('/bin/sleep', program);
  const child = spawn(program, ['60']);
  t.teardown(() => {
    child.kill();
  });
  await once(child, 'spawn');
  const found = findProcesses(new Set(['mariadbd'])).filter(({ pid }) => pid === child.pid);
  const many = Array.from({ length: 30 }, (_, index) =>
    found.map((one) => ({ ...one, residentPages: index })),
  ).flat();
  const { servers, others } = await findServers(new Deadline(60_000), many);
  t.deepEqual(
    servers.map(({ residentPages }) => residentPages),
    Array.from({ length: 16 }, (_, index) => 29 - index),
  );
  t.is(others.length, 14);
  const [left] = notLookedAt(others);
  t.regex(left?.description ?? '', /^14 more servers of a kind \(pid (\d+, ){8}\.\.\.\)$/);
  await t.throwsAsync(async () => left?.findPages(new Deadline(60_000)), { code: 'too-large' });
  t.deepEqual(notLookedAt([]), []);
});

/** What is read from a program of this content. */
const searcher = (t: ExecutionContext) => {
  const where = folder(t);
  return async (name: 'mariadb' | 'mysql', content: Buffer): ReturnType<typeof searchVersion> => {
    writeFileSync(join(where, 'program'), content);
    const file = await open(join(where, 'program'));
    try {
      return await searchVersion(file, name, new Deadline(60_000));
    } finally {
      await file.close();
    }
  };
};

test('product and version are read from the bytes of the program, wherever they lie in it', async (t) => {
  const search = searcher(t);
  for (const at of [0, 1, 1024 * 1024 - 10, 1024 * 1024, 3_000_000]) {
    const program = Buffer.alloc(4_000_000);
    program.write('\0mysqld-10.11\0', 100 + at, 'latin1');
    program.write('\x0010.11.19-MariaDB-log\0', at, 'latin1');
    t.like(await search('mysql', program), { product: 'mariadb', version: '10.11.19-MariaDB-log' });
  }
  t.like(await search('mysql', Buffer.from('x\0mysqld-9.7\0')), { product: 'mysql', version: '9.7' });
  const endless = Buffer.from(`\x0010.11.19-MariaDB${'x'.repeat(5000)}\0`);
  t.like(await search('mariadb', endless), { product: 'mariadb', version: 'unknown' });
  // What would change a terminal or a log is no version.
  t.like(await search('mysql', Buffer.from('\x0010.11.19-MariaDB\u001b[2J\0')), {
    product: 'mysql',
    version: 'unknown',
  });
});

test('no more of a program is read than is allowed, the same bytes twice included', async (t) => {
  const path = join(folder(t), 'program');
  const program = Buffer.alloc(3_000_000);
  program.write('\0mysqld-9.7\0', 2_500_000, 'latin1');
  writeFileSync(path, program);
  const versionOf = async (maxBytes: number): Promise<string> => {
    const file = await open(path);
    try {
      return (await searchVersion(file, 'mysql', new Deadline(60_000), maxBytes)).version;
    } finally {
      await file.close();
    }
  };
  t.deepEqual([await versionOf(2_400_000), await versionOf(4_000_000)], ['unknown', '9.7']);
  // All of it but the version as constants.
  program.writeUInt32LE(0x464c457f, 0);
  program.writeBigUInt64LE(64n, 0x28);
  program.writeUInt16LE(1, 0x3c);
  program.writeUInt32LE(1, 64 + 4);
  program.writeBigUInt64LE(2n, 64 + 8);
  program.writeBigUInt64LE(2_400_000n, 64 + 0x20);
  writeFileSync(path, program);
  t.deepEqual([await versionOf(4_000_000), await versionOf(6_000_000)], ['unknown', '9.7']);
});

test('a program is known by its file and its build id', async (t) => {
  const where = folder(t);
  const note = Buffer.from('040000001400000003000000474e5500', 'hex');
  writeFileSync(join(where, 'program'), Buffer.concat([Buffer.alloc(700), note, Buffer.alloc(20, 0xab)]));
  const file = await open(join(where, 'program'));
  const { build } = await searchVersion(file, 'mysql', new Deadline(60_000));
  t.is(build.id, 'ab'.repeat(20));
  t.regex(build.file, /^\d+:\d+:/);
  await file.close();
});

test('constants of an ELF program are looked at before all of it, and headers that lie cost nothing', async (t) => {
  const search = searcher(t);
  const constants = 0x2n;
  const withSections = (...sections: { flags: bigint; offset: bigint; size: bigint }[]): Buffer => {
    const program = Buffer.alloc(3_000_000);
    program.writeUInt32LE(0x464c457f, 0);
    program.writeBigUInt64LE(64n, 0x28);
    program.writeUInt16LE(sections.length, 0x3c);
    for (const [index, { flags, offset, size }] of sections.entries()) {
      const at = 64 * (index + 1);
      program.writeUInt32LE(1, at + 4);
      program.writeBigUInt64LE(flags, at + 8);
      program.writeBigUInt64LE(offset, at + 0x18);
      program.writeBigUInt64LE(size, at + 0x20);
    }
    program.write('\x0010.11.19-MariaDB\0', 1_500_000, 'latin1');
    program.write('\0mysqld-9.7\0', 2_500_000, 'latin1');
    return program;
  };
  const everywhere = { product: 'mariadb', version: '10.11.19-MariaDB' };
  t.like(
    await search(
      'mysql',
      withSections(
        { flags: constants, offset: 4096n, size: 100n },
        { flags: constants | 4n, offset: 4096n, size: 2_900_000n },
        { flags: constants, offset: 2_400_000n, size: 500_000n },
      ),
    ),
    { product: 'mysql', version: '9.7' },
  );
  t.like(await search('mysql', withSections()), everywhere);
  for (const offset of [2_999_999n, 2n ** 63n])
    t.like(await search('mysql', withSections({ flags: constants, offset, size: 2n ** 63n })), everywhere);
  const program = withSections();
  program.writeBigUInt64LE(2n ** 64n - 1n, 0x28);
  t.like(await search('mysql', program), everywhere);
  // The table of sections is cut off by the end of the file.
  program.writeBigUInt64LE(2_999_000n, 0x28);
  program.writeUInt16LE(0xffff, 0x3c);
  t.like(await search('mysql', program), everywhere);
});
