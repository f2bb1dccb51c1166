/** The agent as a whole, in a real guest, through virtio-serial. About a minute each; images are made on first use. */
import { closeSync, openSync, readSync } from 'node:fs';
import { connect } from 'node:net';
import { once } from 'node:events';
import test from 'ava';
import { requestPageList, requestStatus } from '../../engine/list/agent-client.ts';
import { formatRequest } from '../../engine/list/agent-protocol.ts';
import { unpackAll } from '../../engine/list/packed-runs.ts';
import type { PackedPageList } from '../../engine/list/page-list-codec.ts';
import type { Comparison } from './compare.ts';
import { diskSerial, GuestMachine } from './guest-machine.ts';

const mebibyte = 1024 * 1024;
const tables = 2;

/** The guest's memory at the listed frames against the image at the listed blocks. */
function compareWithImage(list: PackedPageList, machine: GuestMachine): Comparison {
  const ram = openSync(machine.ramPath, 'r');
  const disk = openSync(machine.diskPath, 'r');
  const inMemory = Buffer.alloc(4096);
  const onDisk = Buffer.alloc(4096);
  const { storageBlock, guestFrame, count } = unpackAll(list.runs);
  let differing = 0;
  for (let run = 0; run < count.length; run++) {
    for (let page = 0; page < (count[run] ?? 0); page++) {
      readSync(ram, inMemory, 0, 4096, ((guestFrame[run] ?? 0) + page) * 4096);
      readSync(disk, onDisk, 0, 4096, ((storageBlock[run] ?? 0) + page) * 4096);
      if (!inMemory.equals(onDisk)) differing++;
    }
  }
  closeSync(ram);
  closeSync(disk);
  return { compared: list.pageCount, differing };
}

for (const dbms of ['mariadb', 'mysql'] as const) {
  test.serial(`${dbms} in a guest: listed frames hold what the disk image holds`, async (t) => {
    t.timeout(900_000);
    const machine = await GuestMachine.boot({
      dbms,
      memoryBytes: (dbms === 'mysql' ? 1024 : 768) * mebibyte,
      poolBytes: 256 * mebibyte,
      tables,
      rowsPerTable: 200_000,
      // MariaDB's pool is in transparent huge pages, as the kernel gives them; MySQL's in explicit ones.
      ...(dbms === 'mysql' ? { serverOptions: ['--large-pages'], kernelParameters: ['hugepages=160'] } : {}),
      log: (line) => {
        t.log(line);
      },
    });
    t.teardown(() => machine.stop());
    for (let table = 1; table <= tables; table++)
      await machine.sql(
        `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest${table}; SELECT COUNT(k) FROM sbtest${table} FORCE INDEX (k_${table})`,
      );

    if (dbms === 'mysql')
      t.notRegex(machine.console, /large page|huge ?page/i, 'the server got its huge pages');

    const { list, listBytes, timings } = await requestPageList(machine.agentSocket, {
      clean: 'checkpoint',
      hotFirst: true,
    });
    machine.pause();
    const { compared, differing } = compareWithImage(list, machine);
    machine.resume();
    const { residentBytes, nodeVersion } = await requestStatus(machine.agentSocket);
    t.log(
      `${list.server.version}: ${list.server.cachedPages} cached, ${list.server.dirtyPages} dirty, ` +
        `${compared} pages of 4 KiB listed, ${differing} differing; ${listBytes} bytes, ` +
        `${((listBytes * 4) / list.pageCount).toFixed(2)} for 16 KiB`,
    );
    t.log(
      `Node ${nodeVersion}, ${Math.round(residentBytes / mebibyte)} MiB resident, ms: ${JSON.stringify({ ...list.timings, ...timings })}`,
    );
    t.log(`${list.runs.coldPages} pages are cold; not known of: ${list.heatUnknown?.join('; ')}`);
    t.truthy(list.heatUnknown);
    t.deepEqual(list.sources, [{ kind: 'disk', disk: diskSerial }]);
    t.is(list.server.method, 'descriptors');
    const poolPages = (list.server.cachedPages - list.server.dirtyPages) * 4;
    t.true(poolPages * 4096 > 80 * mebibyte, 'the tables are in the pool');
    t.true((list.pageCount - poolPages) * 4096 > 30 * mebibyte, 'programs are in the page cache');
    t.deepEqual(list.failures, []);
    t.true(differing <= compared / 1000, `${differing} of ${compared} pages differ`);
    t.true(residentBytes < 90 * mebibyte);

    // A host that goes away in mid-answer: the next one gets its own answer.
    const deserter = connect(machine.agentSocket);
    await once(deserter, 'connect');
    deserter.write(formatRequest({ id: 'deserter', request: 'list', clean: 'none', hotFirst: false }));
    await once(deserter, 'data');
    deserter.destroy();
    // It is served after the deserter's list, which takes seconds in an emulated guest on a busy machine.
    const again = await requestPageList(machine.agentSocket, { firstAnswerTimeoutMs: 60_000 });
    t.true(again.list.pageCount > 0.9 * list.pageCount);
    // Nobody asked for hot pages to come first.
    t.is(again.list.runs.coldPages, 0);
    t.is(again.list.heatUnknown, undefined);
    t.log(
      `second list, without writing dirty pages first: ${JSON.stringify({ ...again.list.timings, ...again.timings })}`,
    );
  });
}
