import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { Steps } from './steps.ts';

function recorded(signal = new AbortController().signal, settleMs?: number) {
  const seen: string[] = [];
  const steps = new Steps({
    signal,
    onStep: (name, outcome) => seen.push(`${name} ${outcome.kind}`),
    ...(settleMs === undefined ? {} : { settleMs }),
  });
  return { seen, steps };
}

test('undos run in reverse order, also that of the step which failed', async (t) => {
  const { seen, steps } = recorded();
  const undone: string[] = [];
  await steps.step(
    'lab',
    async () => 1,
    async () => void undone.push('lab'),
  );
  const error = await t.throwsAsync(
    steps.step(
      'vm',
      () => Promise.reject(new Error('no memory')),
      async () => void undone.push('vm'),
    ),
    { instanceOf: CodedError, name: 'RunError', code: 'step-failed' },
  );
  t.is(error.message, 'vm: no memory');
  t.deepEqual(await steps.undoAll(), []);
  t.deepEqual(undone, ['vm', 'lab']);
  t.deepEqual(seen, ['lab started', 'lab ended', 'vm started', 'vm failed']);
  await steps.undoAll();
  t.is(undone.length, 2);
});

test('a failing undo does not keep the others from running', async (t) => {
  const { steps } = recorded();
  const undone: string[] = [];
  await steps.step(
    'one',
    async () => undefined,
    async () => void undone.push('one'),
  );
  await steps.step(
    'two',
    async () => undefined,
    () => Promise.reject(new Error('stuck')),
  );
  const errors = await steps.undoAll();
  t.deepEqual(
    errors.map((error) => error.message),
    ['undo two: stuck'],
  );
  t.deepEqual(undone, ['one']);
});

test('an abort ends the wait at once and no further step begins', async (t) => {
  const controller = new AbortController();
  const { steps } = recorded(controller.signal);
  const waiting = steps.step('long', () => sleep(60_000, undefined, { ref: false }));
  controller.abort(new Error('interrupted'));
  await t.throwsAsync(waiting, { message: 'long: interrupted' });
  let ran = false;
  await t.throwsAsync(
    steps.step('next', async () => void (ran = true)),
    { message: 'next: interrupted' },
  );
  t.false(ran);
});

test('what a step still starts after an abort is there when its undo comes', async (t) => {
  const controller = new AbortController();
  const { steps } = recorded(controller.signal);
  const done: string[] = [];
  const waiting = steps.step(
    'boot',
    async () => {
      await sleep(50);
      done.push('started');
      throw new Error('and failed');
    },
    async () => void done.push('stopped'),
  );
  controller.abort(new Error('interrupted'));
  await t.throwsAsync(waiting, { message: 'boot: interrupted' });
  t.deepEqual(done, []);
  t.deepEqual(await steps.undoAll(), []);
  t.deepEqual(done, ['started', 'stopped']);
});

test('an action that does not end keeps nothing from being undone', async (t) => {
  const controller = new AbortController();
  const { steps } = recorded(controller.signal, 20);
  let undone = false;
  const waiting = steps.step(
    'stuck',
    () => new Promise<never>(() => undefined),
    async () => void (undone = true),
  );
  controller.abort(new Error('interrupted'));
  await t.throwsAsync(waiting, { message: 'stuck: interrupted' });
  await steps.undoAll();
  t.true(undone);
});
