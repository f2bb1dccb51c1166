/** The paper's table 2: memory of the VM, which names its row, size of its buffer pool, and how much of the pool its tables fill. */

/** Values of the option `--mem`. */
export const memValues = ['4', '8', '16', '24'] as const;
export type Mem = (typeof memValues)[number];

/** The rows themselves; recorded as `paper_row_gib`. */
export const paperRowsGib = [4, 8, 16, 24] as const;
export type PaperRowGib = (typeof paperRowsGib)[number];

export interface PaperRow {
  readonly paperRowGib: PaperRowGib;
  readonly bufferPoolGib: number;
  readonly poolInUseGib: number;
}

export const paperRows: Readonly<Record<Mem, PaperRow>> = {
  '4': { paperRowGib: 4, bufferPoolGib: 3.2, poolInUseGib: 2.8 },
  '8': { paperRowGib: 8, bufferPoolGib: 6.4, poolInUseGib: 5.5 },
  '16': { paperRowGib: 16, bufferPoolGib: 12.8, poolInUseGib: 11.3 },
  '24': { paperRowGib: 24, bufferPoolGib: 19.2, poolInUseGib: 16.2 },
};

/** The option that names a row. */
export function memOf(paperRowGib: PaperRowGib): Mem {
  return `${paperRowGib}`;
}
