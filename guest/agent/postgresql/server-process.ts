/** Finds running PostgreSQL servers: of the processes of one, the postmaster, which is the parent of the others. */
import { closeSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../guest-error.ts';
import { pathsOf } from '../process-root.ts';
import { findProcesses, largest, type NamedProcess } from '../processes.ts';
import { openRegularFileSync } from '../safe-files.ts';
import type { DataDirectory } from './relation-files.ts';

export interface Postmaster extends NamedProcess {
  readonly directory: DataDirectory;
}

const serverPrograms = new Set(['postgres']);

interface FoundPostmasters {
  readonly servers: readonly Postmaster[];
  /** Processes that are not looked at. */
  readonly others: readonly number[];
}

/** Of each user those with the most memory first. What has no data directory is no server. */
export function findPostmasters(): FoundPostmasters {
  const processes = findProcesses(serverPrograms);
  const pids = new Set(processes.map(({ pid }) => pid));
  const { looked, others } = largest(processes.filter(({ parentPid }) => !pids.has(parentPid)));
  const servers = looked.flatMap((found) => {
    const directory = readDataDirectory(found.pid);
    return directory === undefined ? [] : { ...found, directory };
  });
  return { servers, others };
}

/** The server's working directory. */
function readDataDirectory(pid: number): DataDirectory | undefined {
  try {
    const within = pathsOf(pid);
    const path = within(readlinkSync(`/proc/${pid}/cwd`));
    const file = openRegularFileSync(join(path, 'PG_VERSION'));
    if (file === undefined) return undefined;
    try {
      const text = Buffer.alloc(16);
      const majorVersion = /^(\d{1,3})\n/.exec(text.toString('latin1', 0, readSync(file, text)))?.[1];
      return majorVersion === undefined ? undefined : { path, majorVersion, within };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    // Ended meanwhile, or no server.
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}
