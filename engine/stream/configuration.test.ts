import test from 'ava';
import { checkVm } from './configuration.ts';

const uuid = '00112233-4455-6677-8899-aabbccddeeff';

test('a uuid is compared with the one in the stream, however it is written', (t) => {
  t.true(checkVm(uuid.toUpperCase(), { uuid }));
  t.throws(() => checkVm(uuid.replace('00', '01'), { uuid }), { code: 'another-vm' });
});

test('a stream without a uuid is not taken for compared', (t) => {
  t.false(checkVm(uuid, { uuid: undefined }));
});

test('a name is compared with nothing in the stream', (t) => {
  for (const vm of ['orders', `run-${uuid}`, undefined]) t.true(checkVm(vm, { uuid }));
});
