/** The paper's table 2: memory of the VM, size of its buffer pool, and how much of the pool its tables fill, in GiB. */
export const memoryRowNames = ['4', '8', '16', '24'] as const;
export type MemoryRowName = (typeof memoryRowNames)[number];

export interface MemoryRow {
  readonly memoryGib: number;
  readonly bufferPoolGib: number;
  readonly poolInUseGib: number;
}

export const memoryRows: Readonly<Record<MemoryRowName, MemoryRow>> = {
  '4': { memoryGib: 4, bufferPoolGib: 3.2, poolInUseGib: 2.8 },
  '8': { memoryGib: 8, bufferPoolGib: 6.4, poolInUseGib: 5.5 },
  '16': { memoryGib: 16, bufferPoolGib: 12.8, poolInUseGib: 11.3 },
  '24': { memoryGib: 24, bufferPoolGib: 19.2, poolInUseGib: 16.2 },
};
