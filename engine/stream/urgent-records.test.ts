import test from 'ava';
import fc from 'fast-check';
import { isCoded } from '../../foundation/coded-error.ts';
import { StreamReader } from './reader.ts';
import type { RamBlocks } from './ram-blocks.ts';
import * as build from './testing/build-stream.ts';
import { blocks, content } from './testing/small-stream.ts';
import { UrgentRecords } from './urgent-records.ts';

const known = ((): RamBlocks => {
  const reader = new StreamReader({}, () => undefined);
  reader.push(build.streamStart(3, blocks));
  return reader.ramBlocks;
})();
const channel = Buffer.concat([
  build.page('ram0', 1, content(1)),
  build.zeroPage(undefined, 2),
  build.page('a.rather.long.name/of@a.block', 3, content(2)),
  build.page(undefined, 1, content(3)),
  build.number(8, 0x10),
]);

function read(chunks: readonly Buffer[]): { pages: string[]; ended: boolean } {
  const pages: string[] = [];
  const records = new UrgentRecords({
    page: (block, page, buffer, offset) => {
      pages.push(`${block}/${page} ${buffer.toString('latin1', offset, offset + 4096)}`);
      return true;
    },
    zeroPage: (block, page) => {
      pages.push(`${block}/${page} zero`);
      return true;
    },
  });
  for (const chunk of chunks) records.push(chunk, known);
  return { pages, ended: records.ended };
}

const all = [
  `0/1 ${content(1).toString('latin1')}`,
  '0/2 zero',
  `1/3 ${content(2).toString('latin1')}`,
  `1/1 ${content(3).toString('latin1')}`,
];

test('records of pages beside the stream, cut at every byte', (t) => {
  for (let cut = 0; cut <= channel.length; cut++) {
    const { pages, ended } = read([channel.subarray(0, cut), channel.subarray(cut)]);
    if (!ended || pages.join() !== all.join()) t.fail(`wrong when cut at ${cut}`);
    if (cut < channel.length && read([channel.subarray(0, cut)]).ended) t.fail(`ended at ${cut}`);
  }
  t.deepEqual(read(Array.from(channel, (byte) => Buffer.of(byte))), { pages: all, ended: true });
});

const wrong: Readonly<Record<string, Buffer>> = {
  'more after its end': Buffer.concat([channel, build.page('ram0', 1, content(1))]),
  'a difference': build.delta('ram0', 1, Buffer.from('0503010203', 'hex')),
  'a page of a RAM block that was not announced': build.page('ram9', 1, content(1)),
  'page 8 is outside of its RAM block': build.page('ram0', 8, content(1)),
  'a record with flags 4': build.memorySizes(blocks),
};
for (const [what, bytes] of Object.entries(wrong)) {
  test(`${what} is refused`, (t) => {
    const error = t.throws(() => read([bytes]));
    t.true(isCoded(error, 'stream', 'unsupported'));
    t.true(error.message.includes(what), error.message);
  });
}

test('whatever comes, it is taken or refused', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (chunks) => {
      try {
        read(chunks.map((chunk) => Buffer.from(chunk)));
      } catch (error) {
        if (!isCoded(error, 'stream', 'unsupported')) throw error;
      }
    }),
  );
  t.pass();
});
