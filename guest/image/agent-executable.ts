/**
 * The guest agent as one executable file for guests without Node: `node guest/image/agent-executable.ts OUT`. Node with the bundle inside, as Node's documentation has it
 * (single executable applications).
 */
import { chmod, copyFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { $ } from 'zx';
import { agentStart, bundleAgent } from './agent-bundle.ts';

/** What Node looks for in its own file. */
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** Writes it to `file`, whole or not at all. */
async function makeAgentExecutable(file: string): Promise<void> {
  const work = await mkdtemp(path.join(os.tmpdir(), 'poolshift-agent-'));
  const made = `${file}.new`;
  try {
    const blob = path.join(work, 'agent.blob');
    const settings = {
      main: await bundleAgent(console.error),
      output: blob,
      disableExperimentalSEAWarning: true,
      execArgv: agentStart.nodeOptions,
    };
    await writeFile(path.join(work, 'sea.json'), JSON.stringify(settings));
    const run = $({ quiet: true, cwd: work, preferLocal: [path.join(import.meta.dirname, '../..')] });
    await run`${process.execPath} --experimental-sea-config sea.json`;
    await copyFile(process.execPath, made);
    await chmod(made, 0o755);
    await run`postject ${path.resolve(made)} NODE_SEA_BLOB ${blob} --sentinel-fuse ${fuse}`;
    await rename(made, file);
  } finally {
    await rm(made, { force: true });
    await rm(work, { recursive: true });
  }
}

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: node guest/image/agent-executable.ts OUT');
await makeAgentExecutable(file);
