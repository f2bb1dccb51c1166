/** The manifest of a synthetic run, for tests. Nothing here was measured. */
import type { AnyManifest } from '../../record/manifest.ts';

export const syntheticScale = 8;
export const syntheticLinkBitsPerSecond = 125e6;
export const syntheticThreads = 2;
export const syntheticRateTps = 8;

export interface SyntheticCell {
  readonly scenario: string;
  readonly paperRowGib: number;
  readonly engine: string;
  readonly repeat: number;
}

export const vmBytesOf = (paperRowGib: number): number => (paperRowGib * 2 ** 30) / syntheticScale;

/** @param startMs since the epoch */
export function syntheticManifest(runId: string, cell: SyntheticCell, startMs = 0): AnyManifest {
  const { scenario, paperRowGib, engine, repeat } = cell;
  return {
    format: 1,
    runId,
    startedAt: new Date(startMs).toISOString(),
    repeat,
    configuration: {
      scenario,
      paperRowGib: paperRowGib,
      engine,
      testbed: 'local',
      profile: 'lab',
      scale: syntheticScale,
      dbms: 'mariadb',
      linkBitsPerSecond: syntheticLinkBitsPerSecond,
      storageLinkBitsPerSecond: syntheticLinkBitsPerSecond,
      serviceLinkBitsPerSecond: syntheticLinkBitsPerSecond,
      vmMemoryBytes: vmBytesOf(paperRowGib),
      bufferPoolAskedBytes: vmBytesOf(paperRowGib) * 0.75,
      bufferPoolBytes: vmBytesOf(paperRowGib) * 0.75,
      poolInUseAskedBytes: vmBytesOf(paperRowGib) * 0.7,
      tableDataBytes: vmBytesOf(paperRowGib) * 0.7,
      downtimeLimitMs: 300,
      maxTimeSeconds: 600,
      seed: 1,
      verifyRam: false,
      threads: syntheticThreads,
      rateTps: syntheticRateTps,
      beforeSeconds: 30,
      afterSeconds: 60,
    },
    accelerator: { name: 'tcg', reason: 'synthetic' },
    goodputBytesPerSecond: { migration: 14.9e6, storage: 14.9e6 },
    revision: { commit: undefined, dirty: true },
    versions: { qemu: 'QEMU emulator version 10.0.13', databaseServer: '10.11.19-MariaDB', node: '24' },
    machine: {
      cpuModel: 'made up',
      cores: 2,
      memoryBytes: 24 * 2 ** 30,
      kernel: '6.1',
      distribution: 'Debian',
    },
  };
}
