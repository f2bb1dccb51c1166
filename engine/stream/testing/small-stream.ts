import * as build from './build-stream.ts';

/** A stream of 30 KB with all kinds of records, among them block changes by name and back. */
export const blocks = [
  { name: 'ram0', pageCount: 8 },
  { name: 'a.rather.long.name/of@a.block', pageCount: 4 },
];
export const content = (seed: number): Buffer =>
  Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * seed + seed) & 0xff));
export const smallStream = Buffer.concat([
  build.magic,
  build.configuration(
    'pc-i440fx-9.2',
    build.subsection('configuration/uuid', Buffer.from('00112233445566778899aabbccddeeff', 'hex')),
    build.capabilities('events', 'auto-converge'),
  ),
  build.command(1),
  build.command(2, build.number(4, 0)),
  build.sectionStart(1, 3, 'ram', 4),
  build.memorySizes(blocks),
  build.sectionEnd(3),
  build.sectionPart(2, 3),
  build.page('ram0', 0, content(1)),
  build.page(undefined, 1, content(2)),
  build.zeroPage(undefined, 2),
  build.page('a.rather.long.name/of@a.block', 3, content(3)),
  build.zeroPage(undefined, 1),
  build.sectionEnd(3),
  build.sectionPart(2, 3),
  build.page(undefined, 2, content(4)),
  build.delta(undefined, 2, Buffer.from('0503010203', 'hex')),
  build.sectionEnd(3),
  build.command(11),
  build.sectionPart(3, 3),
  build.page('ram0', 7, content(5)),
  build.page(undefined, 1, content(6)),
  build.sectionEnd(3),
  build.deviceState,
]);

/** What a RAM_DISCARD says: ranges of pages, each first and count (migration/savevm.c). */
const discard = (block: string, ...ranges: readonly (readonly [number, number])[]): Buffer =>
  build.command(
    6,
    Buffer.concat([
      build.number(1, 0),
      build.name(block),
      build.number(1, 0),
      ...ranges.flatMap(([page, count]) => [build.number(8, page * 4096), build.number(8, count * 4096)]),
    ]),
  );

/** LISTEN, devices, PING 3, RUN: with bytes in it that look like a section's end. */
export const packageData = Buffer.concat([
  build.command(4),
  build.sectionStart(4, 9, 'timer', 2),
  build.sectionEnd(3),
  build.command(2, build.number(4, 3)),
  build.command(5),
]);

/** A stream that becomes post-copy: pages are thrown away, the package, pages again, the end. */
export const movedStream = Buffer.concat([
  build.magic,
  build.configuration('pc-q35-11.0'),
  build.command(1),
  build.command(2, build.number(4, 1)),
  build.command(3, Buffer.concat([build.number(8, 0x1000), build.number(8, 0x1000)])),
  build.sectionStart(1, 3, 'ram', 4),
  build.memorySizes(blocks),
  build.sectionEnd(3),
  build.sectionPart(2, 3),
  build.page('ram0', 0, content(1)),
  build.page(undefined, 1, content(2)),
  build.zeroPage(undefined, 2),
  build.page(undefined, 7, content(3)),
  build.sectionEnd(3),
  build.command(11),
  discard('ram0', [1, 2], [5, 1]),
  discard('a.rather.long.name/of@a.block', [0, 4]),
  build.command(2, build.number(4, 2)),
  build.command(7, build.number(4, packageData.length)),
  packageData,
  build.command(2, build.number(4, 4)),
  build.sectionPart(2, 3),
  build.zeroPage(undefined, 5),
  build.page(undefined, 1, content(4)),
  build.sectionEnd(3),
  build.sectionPart(3, 3),
  build.page(undefined, 2, content(5)),
  build.page('a.rather.long.name/of@a.block', 3, content(6)),
  build.sectionEnd(3),
  build.number(1, 0),
]);
