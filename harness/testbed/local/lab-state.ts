/** Which lab is up on this machine: its keeper process, who started it, and the rates of its links. */
import { readFileSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { labFolder } from './lab-folder.ts';
import type { NetworkRates } from './lab-network.ts';

const stateFile = path.join(labFolder, 'lab.json');

const stateSchema = z.object({
  /** Process that joins a command to the lab's namespaces: the keeper, as this machine sees it. */
  keeperPid: z.number().int(),
  /** Field 22 of /proc/PID/stat, which tells a pid that was used again. */
  keeperStartTime: z.string(),
  ownerPid: z.number().int(),
  /** What the user ran. */
  owner: z.string(),
  startedAt: z.iso.datetime(),
  kept: z.boolean(),
  rates: z.object({
    migration: z.number().optional(),
    storage: z.number().optional(),
    service: z.number().optional(),
  }),
});

export type LabState = z.infer<typeof stateSchema>;

/** The lab that is up on this machine, if any. */
export async function currentLab(): Promise<LabState | undefined> {
  const text = await readFile(stateFile, 'utf8').catch(() => undefined);
  const parsed = text === undefined ? undefined : stateSchema.safeParse(JSON.parse(text));
  return parsed?.success === true && isAlive(parsed.data) ? parsed.data : undefined;
}

/** Whether its keeper runs. */
export function isAlive(lab: LabState): boolean {
  return processStartTime(lab.keeperPid) === lab.keeperStartTime;
}

/** Undefined if there is no such process. */
export function processStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name may hold blanks and parentheses; field 3 follows the last ")".
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

export function describeLab(lab: LabState): string {
  return `a lab is up since ${lab.startedAt}, started by process ${lab.ownerPid} (${lab.owner})${lab.kept ? ', kept' : ''}`;
}

/** Whole or not at all: others read it at any time. */
export async function writeState(state: LabState): Promise<void> {
  await writeFile(`${stateFile}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  await rename(`${stateFile}.new`, stateFile);
}

/** For who attaches to the lab later. */
export async function recordRates(lab: LabState, rates: NetworkRates): Promise<void> {
  const current = await currentLab();
  if (current?.keeperPid === lab.keeperPid) await writeState({ ...current, rates });
}
