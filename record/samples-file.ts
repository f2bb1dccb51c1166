/**
 * samples.parquet: what a run measured, as it is kept. A row is what one host reported at one time: `host`, `at_ms` by that
 * host's clock, and a column for each metric, null where it was not in that report. Every number is exactly the recorded
 * one. Rows of one host whose reports have the same metrics stand together, in the order in which they were recorded:
 * neighbours in a column are alike, which is what makes the file small. Parquet, so that DuckDB, pandas and R read it too.
 */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { parquetMetadata, parquetRead, parquetSchema } from 'hyparquet';
import { type ColumnSource, parquetWriteBuffer } from 'hyparquet-writer';
import { type ClockName, type Sample, clockNames } from './event.ts';
import { writeWhole } from './whole-file.ts';

interface RecordedSeries {
  readonly host: ClockName;
  readonly metric: string;
  readonly atMs: number[];
  readonly values: number[];
}

/** Series that one host reported together, again and again. */
interface Group {
  readonly host: ClockName;
  readonly atMs: readonly number[];
  readonly valuesByMetric: Map<string, readonly number[]>;
}

const keyColumns = ['host', 'at_ms'] as const;

/** What Parquet calls ZSTD, at the highest level that needs no more memory to decompress. */
const compressors = {
  ZSTD: (bytes: Uint8Array): Uint8Array =>
    zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 19 } }),
};
const decompressors = { ZSTD: (bytes: Uint8Array): Uint8Array => zstdDecompressSync(bytes) };

function groupsOf(samples: readonly Sample[]): Group[] {
  const series = new Map<string, RecordedSeries>();
  for (const { host, metric, at_ms, value } of samples) {
    const key = `${host} ${metric}`;
    let one = series.get(key);
    if (one === undefined) series.set(key, (one = { host, metric, atMs: [], values: [] }));
    one.atMs.push(at_ms);
    one.values.push(value);
  }
  const groups = new Map<string, Group>();
  for (const { host, metric, atMs, values } of series.values()) {
    const times = createHash('sha256').update(new Float64Array(atMs)).digest('base64');
    const key = `${host} ${times}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { host, atMs, valuesByMetric: new Map() }));
    group.valuesByMetric.set(metric, values);
  }
  return clockNames.flatMap((host) => [...groups.values()].filter((group) => group.host === host));
}

/** Fractions of one size share bytes, which stand together in planes; what has few values repeats its numbers. */
function encodingOf(values: readonly (number | null)[]): 'BYTE_STREAM_SPLIT' | 'PLAIN' {
  const bytes = new Uint8Array(Float64Array.from(values.filter((value) => value !== null)).buffer);
  const planes = Uint8Array.from(bytes, (_, index) => {
    const count = bytes.length / Float64Array.BYTES_PER_ELEMENT;
    return bytes[(index % count) * Float64Array.BYTES_PER_ELEMENT + Math.floor(index / count)] ?? 0;
  });
  const isSplitSmaller = compressors.ZSTD(planes).length < compressors.ZSTD(bytes).length;
  return isSplitSmaller ? 'BYTE_STREAM_SPLIT' : 'PLAIN';
}

/** Differences of whole numbers are small. */
function columnOf(name: string, values: readonly (number | null)[]): ColumnSource {
  const column = { name, offsetIndex: false };
  if (values.every((value) => value === null || Number.isSafeInteger(value))) {
    const data = values.map((value) => (value === null ? null : BigInt(value)));
    return { ...column, data, type: 'INT64', encoding: 'DELTA_BINARY_PACKED' };
  }
  return { ...column, data: [...values], type: 'DOUBLE', encoding: encodingOf(values) };
}

function parquetOf(samples: readonly Sample[]): Uint8Array {
  const groups = groupsOf(samples);
  const metrics = [...new Set(groups.flatMap(({ valuesByMetric }) => [...valuesByMetric.keys()]))].sort();
  const hosts = groups.flatMap(({ host, atMs }) => atMs.map(() => host));
  const times = groups.flatMap(({ atMs }) => atMs);
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: keyColumns[0], data: hosts, type: 'STRING', nullable: false, offsetIndex: false },
        {
          name: keyColumns[1],
          data: times,
          type: 'DOUBLE',
          encoding: 'BYTE_STREAM_SPLIT',
          nullable: false,
          offsetIndex: false,
        },
        ...metrics.map((metric) =>
          columnOf(
            metric,
            groups.flatMap(
              ({ atMs, valuesByMetric }): readonly (number | null)[] =>
                valuesByMetric.get(metric) ?? atMs.map(() => null),
            ),
          ),
        ),
      ],
      codec: 'ZSTD',
      compressors,
      statistics: false,
      // One: a run is small, and what is alike compresses together.
      rowGroupSize: Math.max(1, hosts.length),
    }),
  );
}

/**
 * The file is read back, and on the disk, before it takes its name: it may replace what the samples came from.
 * @throws CodedError 'record' `not-writable`
 */
export async function writeSamplesFile(file: string, samples: readonly Sample[]): Promise<void> {
  const bytes = parquetOf(samples);
  const digest = digestOf(samples);
  if (digestOf(await samplesIn(bytes)) !== digest)
    throw new Error(`${file} would not hold the samples that were recorded`);
  await writeWhole(file, (unfinished) => writeFile(unfinished, bytes, { flush: true }));
}

/** The same for the same series, in whichever order their samples were recorded among each other. */
function digestOf(samples: readonly Sample[]): string {
  const lines = [...Map.groupBy(samples, ({ host, metric }) => `${host} ${metric}`)].map(
    ([key, ofSeries]) => `${key}${ofSeries.map(({ at_ms, value }) => ` ${at_ms} ${value}`).join('')}`,
  );
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex');
}

/**
 * The samples of those metrics that are wanted, series by series: not by time.
 * @throws Error if the file is not as described above
 */
export async function readSamplesFile(
  file: string,
  isWanted: (metric: string) => boolean = () => true,
): Promise<Sample[]> {
  return samplesIn(await readFile(file), isWanted);
}

/** Names of the metrics that a file has. */
export async function metricsInFile(file: string): Promise<string[]> {
  return metricsIn(arrayBufferOf(await readFile(file)));
}

function metricsIn(buffer: ArrayBuffer): string[] {
  const names = parquetSchema(parquetMetadata(buffer)).children.map(({ element }) => element.name);
  return names.filter((name) => !keyColumns.some((key) => key === name));
}

async function samplesIn(
  bytes: Uint8Array,
  isWanted: (metric: string) => boolean = () => true,
): Promise<Sample[]> {
  const file = arrayBufferOf(bytes);
  const metrics = metricsIn(file).filter(isWanted);
  const columns = new Map<string, unknown[]>();
  await parquetRead({
    file,
    columns: [...keyColumns, ...metrics],
    compressors: decompressors,
    onChunk: ({ columnName, columnData }) => {
      const column = columns.get(columnName) ?? [];
      columns.set(columnName, column);
      for (const value of columnData) column.push(value);
    },
  });
  const hosts = (columns.get('host') ?? []).map((host) => clockNames.find((name) => name === host));
  const times = columns.get('at_ms') ?? [];
  return metrics.flatMap((metric) => {
    const samples: Sample[] = [];
    // Most rows have no value of a metric: no pair is made for those.
    (columns.get(metric) ?? []).forEach((value, row) => {
      if (value === null || value === undefined) return;
      const host = hosts[row];
      const at_ms = times[row];
      if (host === undefined || typeof at_ms !== 'number')
        throw new Error(`row ${row} has no host of ours or no time`);
      samples.push({ at_ms, host, metric, value: Number(value) });
    });
    return samples;
  });
}

/** hyparquet reads from an ArrayBuffer of its own; a Buffer may be a part of a larger one. */
function arrayBufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
