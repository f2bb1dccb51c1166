import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { CodedError } from '../../foundation/coded-error.ts';
import type { PlanPart } from '../wire/plan-codec.ts';
import { isStorageFile, parseStorageFile, type StorageFileHead, writeStorageFile } from './storage-file.ts';

const head: StorageFileHead = {
  target: { pid: 7, startTime: '12345' },
  places: [{ location: '/dev/disk' }, { name: 'data', location: 'nfs://host/data' }],
  sources: [
    { kind: 'disk', disk: 'vda' },
    { kind: 'file', fileSystem: 'host:/data', path: 'ibdata1' },
  ],
  hashKey: 'ab'.repeat(32),
  ramSectionId: 2,
  blocks: [
    { name: 'ram0', pageCount: 100 },
    { name: 'ram1', pageCount: 8 },
  ],
};
const parts: readonly [PlanPart, PlanPart] = [
  {
    ...{ blockIndex: 0, sourceIndex: 1, runs: Uint32Array.of(9, 4, 2, 77, 99, 1), pageCount: 3 },
    hashes: Uint32Array.of(1, 2, 3, 4, 5, 0xffff_ffff),
  },
  {
    blockIndex: 1,
    sourceIndex: 0,
    runs: Uint32Array.of(0, 0, 1),
    hashes: Uint32Array.of(6, 7),
    pageCount: 1,
  },
];

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(path.join(os.tmpdir(), 'poolshift-recovery-'));
  t.teardown(() => {
    rmSync(made, { recursive: true });
  });
  return made;
}

async function written(t: ExecutionContext, what = head, its: Iterable<PlanPart> = parts): Promise<Buffer> {
  const file = path.join(folder(t), 'incoming.recovery');
  await writeStorageFile(file, what, its);
  return readFileSync(file);
}

const refused = (error: unknown): boolean =>
  error instanceof CodedError && error.area === 'recovery' && error.code === 'file';

test('what is written is read, over an older one, and only its user may', async (t) => {
  const made = folder(t);
  const file = path.join(made, 'incoming.recovery');
  await writeStorageFile(file, head, []);
  await writeStorageFile(file, head, parts);
  const bytes = readFileSync(file);
  t.true(isStorageFile(bytes));
  t.deepEqual(parseStorageFile(bytes, file), { ...head, parts });
  t.is(statSync(file).mode & 0o777, 0o600);
  t.deepEqual(readdirSync(made), ['incoming.recovery']);
});

test('one that is given up, or fails, leaves nothing, and an older one as it was', async (t) => {
  const made = folder(t);
  const file = path.join(made, 'incoming.recovery');
  await writeStorageFile(file, head, []);
  const before = readFileSync(file);
  const over = new AbortController();
  const endless = (function* (): Generator<PlanPart> {
    for (let made = 0; ; made += 1) {
      if (made === 20_000) over.abort(new Error('over'));
      yield* parts;
    }
  })();
  await t.throwsAsync(writeStorageFile(file, head, endless, over.signal), { code: 'file', message: /over/ });
  const broken = (function* (): Generator<PlanPart> {
    yield* parts;
    throw new Error('no more');
  })();
  await t.throwsAsync(writeStorageFile(file, head, broken), { code: 'file', message: /no more/ });
  t.deepEqual(readdirSync(made), ['incoming.recovery']);
  t.deepEqual(readFileSync(file), before);
  await t.throwsAsync(writeStorageFile(path.join(made, 'missing', 'it'), head, []), {
    code: 'file',
    message: /missing\/it/,
  });
});

test('a file cut anywhere, or changed anywhere, is refused', async (t) => {
  const bytes = await written(t);
  for (let length = 0; length < bytes.length; length += 1)
    t.true(refused(t.throws(() => parseStorageFile(bytes.subarray(0, length), 'it'))), `${length}`);
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(at) ^ 0x10, at);
    t.true(refused(t.throws(() => parseStorageFile(changed, 'it'))), `${at}`);
  }
});

test('what names what there is not is refused, and it says what is wrong', async (t) => {
  const [, part] = parts;
  const wrongParts: readonly (readonly [RegExp, readonly PlanPart[]])[] = [
    [/a RAM block or a source/, [{ ...part, blockIndex: 2 }]],
    [/a RAM block or a source/, [{ ...part, sourceIndex: 2 }]],
    [/a page that is not there/, [{ ...part, runs: Uint32Array.of(0, 8, 1) }]],
    [/page 0 twice/, [part, part]],
  ];
  for (const [message, its] of wrongParts) {
    const bytes = await written(t, head, its);
    t.throws(() => parseStorageFile(bytes, 'it'), { code: 'file', message });
  }
  for (const [name, wrong] of Object.entries({ target: 5, hashKey: 'ab', blocks: [], places: [{}] })) {
    const bytes = await written(t, { ...head, [name]: wrong });
    t.throws(() => parseStorageFile(bytes, 'it'), { code: 'file', message: new RegExp(`at ${name}`) });
  }
});

test('whatever stands in it, with the right sum, it is read or refused', async (t) => {
  const bytes = await written(t);
  const sum = (content: Buffer): Buffer => {
    const last = Buffer.alloc(4);
    last.writeUInt32BE(crc32(content));
    return Buffer.concat([content, last]);
  };
  const tries = (content: Buffer): void => {
    try {
      parseStorageFile(sum(content), 'it');
    } catch (error) {
      if (!refused(error)) throw error;
    }
  };
  t.notThrows(() => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(bytes.length - 5), (random, at) => {
        tries(Buffer.from(random));
        tries(Buffer.concat([bytes.subarray(0, at), random]));
        tries(Buffer.concat([bytes.subarray(0, at), random, bytes.subarray(at + random.length, -4)]));
      }),
    );
  });
});
