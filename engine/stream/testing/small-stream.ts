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
  build.sectionEnd(3),
  build.command(11),
  build.sectionPart(3, 3),
  build.page('ram0', 7, content(5)),
  build.page(undefined, 1, content(6)),
  build.sectionEnd(3),
  build.deviceState,
]);
