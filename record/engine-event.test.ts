import test from 'ava';
import { engineEventFields, recordedFieldsSchema } from './engine-event.ts';

test('every field of every event may be recorded', (t) => {
  const recorded = new Set(Object.keys(recordedFieldsSchema.shape));
  for (const [name, { shape }] of Object.entries(engineEventFields))
    for (const field of Object.keys(shape)) t.true(recorded.has(field), `${name}: ${field}`);
});

test('fields of other versions are kept: fewer, more, other words', (t) => {
  const fields = { t_ms: 12.5, held_ms: 3, by: 'a reason of another version', peer: true, is_new: false };
  t.deepEqual(recordedFieldsSchema.parse(fields), fields);
  t.deepEqual(recordedFieldsSchema.parse({ peer: '10.0.0.1' }), { peer: '10.0.0.1' });
});

test('a field that is known has its type', (t) => {
  for (const wrong of [{ held_ms: '3' }, { reason: 3 }, { is_new: null }])
    t.throws(() => recordedFieldsSchema.parse(wrong), { message: new RegExp(Object.keys(wrong).join('')) });
});
