import test from 'ava';
import { SendWindow } from './send-window.ts';

function drive(
  bytesPerSecond: number,
  ms: number,
  window = new SendWindow(),
  startMs = 0,
  startBytes = 0,
): SendWindow {
  for (let at = 0; at <= ms; at += 5) {
    window.acknowledged(startBytes + (bytesPerSecond * at) / 1000, startMs + at, window.limitBytes / 2, true);
  }
  return window;
}

test('a slow link gets the least window', (t) => {
  t.is(drive(1e6, 1000).limitBytes, 256 * 1024);
});

test('a fast link gets 30 ms of what it takes', (t) => {
  const { limitBytes } = drive(100e6, 1000);
  t.true(Math.abs(limitBytes - 3e6) < 0.05 * 3e6, `${limitBytes}`);
});

test('while the VM waits for its move or for pages, 10 ms of what the link takes are under way', (t) => {
  const window = drive(100e6, 1000);
  window.expectWaiting();
  window.allowSwitchover();
  t.true(Math.abs(window.limitBytes - 1e6) < 0.05 * 1e6, `${window.limitBytes}`);
  drive(1e6, 3000, window, 1000, 100e6);
  t.is(window.limitBytes, 64 * 1024);
});

test('memory stays bounded on any link', (t) => {
  t.is(drive(100e9, 1000).limitBytes, 16 * 1024 * 1024);
});

test('the window follows a link that becomes slow', (t) => {
  const window = drive(100e6, 1000);
  drive(10e6, 2000, window, 1000, 100e6);
  t.true(window.limitBytes < 400_000, `${window.limitBytes}`);
});

test('the window grows on a link that runs dry, within limits, and shrinks again', (t) => {
  const window = drive(20e6, 500);
  const before = window.limitBytes;
  for (let at = 505; at < 3000; at += 5) window.acknowledged(20e3 * at, at, 0, true);
  t.true(window.limitBytes > 2 * before, `${window.limitBytes}`);
  t.true(window.limitBytes <= 20e6 * 0.15 * 1.1);
  for (let at = 3000; at < 10_000; at += 5) window.acknowledged(20e3 * at, at, 0, false);
  t.true(window.limitBytes < 1.2 * before, `${window.limitBytes}`);
});

test('while the switchover is barred more may be under way, and at once less when it may come', (t) => {
  const window = new SendWindow(true);
  drive(40e6, 1000, window);
  t.true(Math.abs(window.limitBytes - 6e6) < 0.05 * 6e6, `${window.limitBytes}`);
  window.allowSwitchover();
  t.true(Math.abs(window.limitBytes - 1.2e6) < 0.05 * 1.2e6, `${window.limitBytes}`);
  drive(40e6, 1000, window, 1000, 40e6);
  t.true(window.limitBytes < 1.3e6, `${window.limitBytes}`);
});
