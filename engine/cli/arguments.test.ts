import test from 'ava';
import { InvalidArgumentError } from 'commander';
import { parseStoragePlace } from '../storage/storage-place.ts';
import { tcpAddress, unixPath } from './arguments.ts';

test('addresses', (t) => {
  t.deepEqual(tcpAddress('10.0.0.1:4444'), { host: '10.0.0.1', port: 4444 });
  t.deepEqual(tcpAddress('[fe80::1]:1'), { host: 'fe80::1', port: 1 });
  t.is(unixPath('unix:/run/x'), '/run/x');
  for (const text of ['', 'host', 'host:', ':1', 'host:65536', 'fe80::1:1']) {
    t.throws(() => tcpAddress(text), { instanceOf: InvalidArgumentError }, text);
  }
  t.throws(() => unixPath('unix:'), { instanceOf: InvalidArgumentError });
  t.is(unixPath(`unix:/${'x'.repeat(106)}`).length, 107);
  t.throws(() => unixPath(`unix:/${'é'.repeat(54)}`), {
    instanceOf: InvalidArgumentError,
    message: 'The path is 2 bytes too long for a socket.',
  });
});

test('places of storage', (t) => {
  for (const [text, name, location] of [
    ['/dev/sdb', undefined, '/dev/sdb'],
    ['disk.img', undefined, 'disk.img'],
    ['/odd=name/disk', undefined, '/odd=name/disk'],
    ['nfs://host/a=b', undefined, 'nfs://host/a=b'],
    ['nbd+unix:///vm?socket=/run/s', undefined, 'nbd+unix:///vm?socket=/run/s'],
    ['vda=nbd+unix:///vm?socket=/run/s', 'vda', 'nbd+unix:///vm?socket=/run/s'],
    ['serial-1=nfs://host/path', 'serial-1', 'nfs://host/path'],
    ['server:/export=/mnt/export', 'server:/export', '/mnt/export'],
  ] as const) {
    t.deepEqual(parseStoragePlace(text), { name, location });
  }
});
