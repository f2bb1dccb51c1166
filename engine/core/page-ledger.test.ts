import { randomBytes } from 'node:crypto';
import test from 'ava';
import xxhash from 'xxhash-wasm';
import { PageHasher, randomHashKey } from '../list/content-hash.ts';
import { twins } from '../list/xxh64-twins.fixture.ts';
import { PageLedger, pageState } from './page-ledger.ts';

const xxh64 = await xxhash();
const hasher = new PageHasher(randomHashKey());
const content = Buffer.alloc(4096, 7);
const other = Buffer.alloc(4096, 8);

function hashOf(page: Buffer): [number, number] {
  const hash = new Uint32Array(2);
  hasher.hashPage(page, 0, hash, 0);
  return [hash[0] ?? 0, hash[1] ?? 0];
}

test('a page that is not listed is forwarded, each time', (t) => {
  const ledger = new PageLedger(10, hasher);
  t.true(ledger.pageRecord(3, content, 0, true));
  t.true(ledger.pageRecord(3, content, 0, true));
  t.is(ledger.seenPages, 1);
  t.true(ledger.repeated);
});

test('the first record of a listed page is withheld until it is planned or comes again', (t) => {
  const ledger = new PageLedger(10, hasher);
  t.true(ledger.list(3));
  t.false(ledger.pageRecord(3, content, 0, true));
  t.is(ledger.withheldPages, 1);
  ledger.plan(3, 1, 2);
  t.is(ledger.withheldPages, 0);
  t.is(ledger.state(3), pageState.plannedWithheld);
  t.true(ledger.pageRecord(3, content, 0, true));
  t.is(ledger.state(3), pageState.plain);

  ledger.list(4);
  ledger.pageRecord(4, content, 0, true);
  t.true(ledger.pageRecord(4, content, 0, true));
  t.is(ledger.withheldPages, 0);

  ledger.list(5);
  ledger.pageRecord(5, content, 0, true);
  ledger.zeroRecord(5);
  t.is(ledger.withheldPages, 0);
  t.is(ledger.state(5), pageState.plain);
});

test('a page that is planned first is left out only with the planned content', (t) => {
  for (const page of [0, 8191, 8192, 9999]) {
    const ledger = new PageLedger(10_000, hasher);
    ledger.list(page);
    ledger.plan(page, ...hashOf(content));
    t.false(ledger.pageRecord(page, content, 0, true));
    t.is(ledger.state(page), pageState.plannedWithheld);
    t.is(ledger.withheldPages, 0);

    const changed = new PageLedger(10_000, hasher);
    changed.list(page);
    changed.plan(page, ...hashOf(content));
    t.true(changed.pageRecord(page, other, 0, true));
    t.true(changed.pageRecord(page, content, 0, true));
  }
});

test('a record whose content was made to have the XXH64 of what was planned is not left out', (t) => {
  let equalByXxh64 = 0;
  for (let run = 0; run < 100; run++) {
    const [planned, written] = twins(randomBytes(4096), 8 * run, BigInt(run));
    if (xxh64.h64Raw(planned) !== xxh64.h64Raw(written)) continue;
    equalByXxh64 += 1;
    const ledger = new PageLedger(10, hasher);
    ledger.list(3);
    ledger.plan(3, ...hashOf(planned));
    t.true(ledger.pageRecord(3, written, 0, true));
    t.is(ledger.state(3), pageState.plain);
  }
  t.true(equalByXxh64 > 10);
});

test('a page that was sent before the list came cannot be listed, nor one outside of memory', (t) => {
  const ledger = new PageLedger(10, hasher);
  ledger.pageRecord(1, content, 0, true);
  ledger.zeroRecord(2);
  t.false(ledger.list(1));
  t.false(ledger.list(2));
  t.false(ledger.list(10));
});

test('a page that is planned again is compared with its newest hash', (t) => {
  const ledger = new PageLedger(10, hasher);
  ledger.list(3);
  ledger.plan(3, ...hashOf(content));
  ledger.plan(3, ...hashOf(other));
  t.false(ledger.pageRecord(3, other, 0, true));
});

test('hashes are kept only until the pages have come', (t) => {
  const ledger = new PageLedger(20_000, hasher);
  const emptyBytes = ledger.hashBytes;
  const [low, high] = hashOf(content);
  for (let page = 0; page < 20_000; page++) {
    ledger.list(page);
    ledger.plan(page, low, high);
  }
  t.true(ledger.hashBytes > 20_000 * 8);
  for (let page = 0; page < 20_000; page++) {
    if (page % 4 === 0) t.true(ledger.pageRecord(page, other, 0, true));
    else if (page % 4 === 1) ledger.zeroRecord(page);
    else if (page % 4 === 2) t.false(ledger.pageRecord(page, content, 0, true));
    else ledger.drop(page);
  }
  t.is(ledger.hashBytes, emptyBytes);
});

test("beyond QEMU's first pass nothing is left out, and a difference comes to what was forwarded", (t) => {
  const ledger = new PageLedger(10, hasher);
  for (const page of [1, 2, 3, 4]) ledger.list(page);
  ledger.plan(2, ...hashOf(content));
  t.true(ledger.pageRecord(1, content, 0, false));
  t.true(ledger.pageRecord(2, content, 0, false));
  ledger.pageRecord(3, content, 0, true);
  const difference = (page: number) => () => {
    ledger.deltaRecord(page);
  };
  for (const page of [1, 2]) t.notThrows(difference(page));
  ledger.zeroRecord(4);
  t.notThrows(difference(4));
  t.is(ledger.withheldPages, 1);
  t.throws(difference(3), { code: 'withheld-base' });
});
