/** The Lua script that sysbench runs: a load's own, and what every load has in common (lua/account.lua). */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SysbenchWorkload } from '../../experiments/scenarios.ts';
import { hashFiles, prepare, type Log } from '../../scripts/cache.ts';

const folder = path.join(import.meta.dirname, 'lua');

/** Makes and fills the tables of TPC-C, too. */
export const tpccScript = path.join(folder, 'tpcc.lua');

/** sysbench has the oltp ones (`/usr/share/sysbench`). */
function loadOf(workload: SysbenchWorkload): Promise<string> {
  return workload === 'tpcc' ? readFile(tpccScript, 'utf8') : Promise.resolve(`require('${workload}')\n`);
}

/** One file, so that it can be copied to any host. Returns its path, from the cache if its sources have not changed. */
export async function prepareLoadScript(workload: SysbenchWorkload, log: Log): Promise<string> {
  const name = `load-${workload.replaceAll('_', '-')}`;
  const made = await prepare({
    name,
    keyParts: [workload, await hashFiles([folder])],
    build: async (dir) => {
      const account = await readFile(path.join(folder, 'account.lua'), 'utf8');
      await writeFile(path.join(dir, `${name}.lua`), `${await loadOf(workload)}${account}`);
    },
    log,
  });
  return path.join(made, `${name}.lua`);
}
