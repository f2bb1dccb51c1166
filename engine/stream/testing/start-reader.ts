import type { StreamHandler } from '../handler.ts';
import { StreamReader, type StreamReaderOptions } from '../reader.ts';

interface Run {
  readonly reader: StreamReader;
  readonly events: string[];
  output(): Buffer;
}

/** A reader that writes down all that it is told. `leavesOut` decides by "block/page". */
export function startReader(
  leavesOut: (key: string) => boolean = () => false,
  options?: StreamReaderOptions,
): Run {
  const events: string[] = [];
  const output: Buffer[] = [];
  const key = (block: number, page: number): string => `${reader.blocks[block]?.name ?? '?'}/${page}`;
  const handler: StreamHandler = {
    configuration: (configuration) => events.push(`configuration ${JSON.stringify(configuration)}`),
    ramBlocks: (blocks) => events.push(`blocks ${JSON.stringify(blocks)}`),
    ramSectionBegins: (kind) => events.push(`begin ${kind}`),
    ramSectionEnds: (kind) => events.push(`end ${kind}`),
    page: (block, page, buffer, offset) => {
      events.push(`page ${key(block, page)} ${buffer.toString('latin1', offset, offset + 4096)}`);
      return !leavesOut(key(block, page));
    },
    pageLeftOut: (block, page) => events.push(`left out ${key(block, page)}`),
    zeroPage: (block, page) => {
      events.push(`zero ${key(block, page)}`);
      return true;
    },
    command: (code, lengthBytes) => events.push(`command ${code} ${lengthBytes}`),
    discard: (block, page, pageCount) => events.push(`discard ${key(block, page)} ${pageCount}`),
    packageBegins: (lengthBytes) => events.push(`package ${lengthBytes}`),
    packageEnds: () => events.push('package ends'),
    streamEnds: () => events.push('stream ends'),
    pageDelta: (block, page) => events.push(`delta ${key(block, page)}`),
    postcopyBegins: () => events.push('post-copy'),
    deviceState: () => events.push('device state'),
    unsupported: (reason) => events.push(`unsupported ${reason}`),
  };
  const reader = new StreamReader(
    handler,
    (buffer, from, to) => output.push(Buffer.from(buffer.subarray(from, to))),
    options,
  );
  return { reader, events, output: () => Buffer.concat(output) };
}
