/**
 * `npm run bench -- NAME [options]`: benchmarks, apart from the tests, since no test may depend on a time. Without a name,
 * says which there are. Each takes --json; --record also writes what it printed to results/bench/NAME.txt, which the docs quote.
 */
import { execa } from 'execa';
import { mkdir, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { gibibytes } from '../foundation/quantity.ts';
import { collectMachine, collectRevision } from '../harness/run/versions.ts';

const benches: Readonly<Record<string, string>> = {
  stream: "the engine's filter over QEMU's stream: relay, leave out 70 % of the pages, hash them too",
  hash: 'the keyed hash of pages against XXH64',
  wire: 'the connection between the engines over loopback, without TLS and with it',
  pair: 'whole migrations between two QEMUs, CPU seconds a GiB by process',
  memory: "the source engine's memory for large VMs",
  agent: 'the page list of a running server',
};

const root = path.join(import.meta.dirname, '..');

/** The command, then when, of what and where. */
async function heading(name: string, options: readonly string[]): Promise<string> {
  const [machine, revision] = await Promise.all([collectMachine(), collectRevision(root)]);
  const commit = `${revision.commit?.slice(0, 7) ?? 'no commit'}${revision.dirty ? ' (modified)' : ''}`;
  const processor = `${machine.cores} cores (${machine.cpuModel.trim()}), ${gibibytes(machine.memoryBytes, 0)}`;
  return [
    ['npm run bench --', name, ...options].join(' '),
    `${new Date().toISOString().slice(0, 10)}, commit ${commit}, Node ${process.versions.node}, ${processor}, ` +
      `load average ${(os.loadavg()[0] ?? 0).toFixed(1)} before it`,
  ].join('\n');
}

const [name = '', ...given] = process.argv.slice(2);
if (!Object.hasOwn(benches, name)) {
  const lines = Object.entries(benches).map(([known, what]) => `  ${known.padEnd(8)} ${what}`);
  const record = '  --record also writes the output to results/bench/NAME.txt';
  console.log(
    `usage: npm run bench -- NAME [--json] [--record] [options]\n${lines.join('\n')}\n${record}; NAME --help says what it takes`,
  );
  process.exitCode = ['', '--help', '-h'].includes(name) ? 0 : 2;
} else {
  const options = given.filter((option) => option !== '--record');
  const head = await heading(name, options);
  const { exitCode, stdout } = await execa({
    stdin: 'inherit',
    stdout: ['inherit', 'pipe'],
    stderr: 'inherit',
    reject: false,
  })(process.execPath, [path.join(import.meta.dirname, `${name}.bench.ts`), ...options]);
  if (given.includes('--record') && exitCode === 0) {
    const folder = path.join(root, 'results', 'bench');
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, `${name}.txt`), `${head}\n\n${stdout}\n`);
  }
  process.exitCode = exitCode ?? 1;
}
