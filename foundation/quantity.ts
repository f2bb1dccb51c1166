/** Times, bytes and rates as people read them. The `in…` functions leave the unit to a column's title. */

export const inSeconds = (ms: number, digits = 1): string => (ms / 1000).toFixed(digits);
export const seconds = (ms: number, digits = 1): string => `${inSeconds(ms, digits)} s`;
export const milliseconds = (ms: number, digits = 0): string => `${ms.toFixed(digits)} ms`;

/** Of what crosses links: powers of ten. */
export const inMegabytes = (bytes: number, digits = 0): string => (bytes / 1e6).toFixed(digits);
export const megabytes = (bytes: number, digits = 0): string => `${inMegabytes(bytes, digits)} MB`;
export const megabytesPerSecond = (bytesPerSecond: number): string => `${megabytes(bytesPerSecond, 1)}/s`;
/** As precise as it is: rates of links are set, not measured. */
export const megabitsPerSecond = (bitsPerSecond: number): string => `${bitsPerSecond / 1e6} Mbit/s`;

/** Of memory and disks: powers of two. */
export const mib = 2 ** 20;
export const gib = 2 ** 30;
export const mebibytes = (bytes: number, digits = 0): string => `${(bytes / mib).toFixed(digits)} MiB`;
export const gibibytes = (bytes: number, digits = 1): string => `${(bytes / gib).toFixed(digits)} GiB`;

/** "1 run", "3 runs". */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

export const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
