/** The manifest of a made-up run, for tests. Nothing here was measured. */
import type { Manifest } from '../record/manifest.ts';

export const madeUpScale = 8;
export const madeUpLinkBitsPerSecond = 125e6;
export const madeUpThreads = 2;
export const madeUpRateTps = 8;

export interface MadeUpCell {
  readonly scenario: string;
  readonly memGib: number;
  readonly engine: string;
  readonly repeat: number;
}

export const vmBytesOf = (memGib: number): number => (memGib * 2 ** 30) / madeUpScale;

/** @param startMs since the epoch */
export function madeUpManifest(runId: string, cell: MadeUpCell, startMs = 0): Manifest {
  const { scenario, memGib, engine, repeat } = cell;
  return {
    format: 1,
    runId,
    startedAt: new Date(startMs).toISOString(),
    repeat,
    configuration: {
      scenario,
      memoryRow: String(memGib),
      engine,
      testbed: 'local',
      profile: 'lab',
      scale: madeUpScale,
      dbms: 'mariadb',
      linkBitsPerSecond: madeUpLinkBitsPerSecond,
      vmMemoryBytes: vmBytesOf(memGib),
      threads: madeUpThreads,
      rateTps: madeUpRateTps,
      beforeSeconds: 30,
      afterSeconds: 60,
    },
    accelerator: { name: 'tcg' },
    goodputBytesPerSecond: { migration: 14.9e6, storage: 14.9e6 },
    revision: { commit: undefined, dirty: true },
    versions: { qemu: 'QEMU emulator version 10.0.13', databaseServer: '10.11.19-MariaDB', node: '24' },
    machine: { cpuModel: 'made up', cores: 2, memoryBytes: 24 * 2 ** 30 },
  };
}
