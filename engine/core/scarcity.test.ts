import test from 'ava';
import { type Load, loadMs, Scarcity } from './scarcity.ts';

/** Bytes a second, before compression and on the link. */
interface Sent {
  readonly raw: number;
  readonly wire: number;
}

class Measured {
  readonly scarcity = new Scarcity();
  #nowMs = 0;
  #wireBytes = 0;
  #rawBytes = 0;

  /** Takes `times` measurements; returns how often it was said that something has changed. */
  take(
    load: Pick<Load, 'room' | 'destinationBusyShare' | 'idleShare'>,
    { raw, wire }: Sent,
    times: number,
  ): number {
    let changes = 0;
    for (let i = 0; i < times; i++) {
      this.#nowMs += loadMs;
      this.#wireBytes += (wire * loadMs) / 1000;
      this.#rawBytes += (raw * loadMs) / 1000;
      const sums = { wireBytes: this.#wireBytes, rawBytes: this.#rawBytes };
      if (this.scarcity.measured({ ...load, ...sums }, this.#nowMs)) changes += 1;
    }
    return changes;
  }
}

const bothWait = { room: 0.1, destinationBusyShare: 0.2, idleShare: 0 };
const processorsWork = { room: 0.1, destinationBusyShare: 0.95, idleShare: 0.02 };
const slow: Sent = { raw: 15e6, wire: 15e6 };
const compressed: Sent = { raw: 30e6, wire: 12e6 };
const fast: Sent = { raw: 200e6, wire: 200e6 };

test('a link for which both ends wait is scarce, and stays so while no processor is free', (t) => {
  const measured = new Measured();
  t.is(measured.take(bothWait, slow, 2), 0);
  t.is(measured.scarcity.scarce, undefined, 'two measurements are not believed');
  t.is(measured.take(bothWait, slow, 1), 1);
  t.is(measured.scarcity.scarce, 'link');
  // The guest takes all processors, so that what is compressed does not fill the link: uncompressed it would not fit.
  t.is(measured.take(processorsWork, compressed, 1000), 0);
  t.is(measured.scarcity.scarce, 'link');
});

test('where nothing waits for the link and no processor is free, processors are scarce', (t) => {
  const measured = new Measured();
  t.is(measured.take(processorsWork, fast, 100), 1);
  t.is(measured.scarcity.scarce, 'processors');
  const sourceIsSlow = { room: 0.9, destinationBusyShare: 0.3, idleShare: 0 };
  t.is(
    measured.take(sourceIsSlow, fast, 100),
    0,
    'a source that does not fill its window is no link that is full',
  );
});

test('where processors are free, storage and compression take nothing from anybody', (t) => {
  const measured = new Measured();
  measured.take({ ...processorsWork, idleShare: 0.3 }, fast, 3);
  t.is(measured.scarcity.scarce, 'link');
});

test('a link that carries everything uncompressed again is scarce no more, which is believed ever more slowly', (t) => {
  const measured = new Measured();
  measured.take(processorsWork, fast, 10);
  const took: number[] = [];
  for (let round = 0; round < 3; round++) {
    measured.take(bothWait, { raw: 20e6, wire: 10e6 }, 10);
    t.is(measured.scarcity.scarce, 'link');
    let times = 0;
    while (measured.scarcity.scarce === 'link') times += 1 + measured.take(processorsWork, compressed, 1);
    took.push(times);
  }
  t.deepEqual(took, [21, 41, 81]);
});

test('a second of odd measurements changes nothing', (t) => {
  const measured = new Measured();
  measured.take(processorsWork, fast, 10);
  for (let i = 0; i < 100; i++) {
    t.is(measured.take(bothWait, fast, 9), 0);
    t.is(measured.take(processorsWork, fast, 1), 0);
  }
});
