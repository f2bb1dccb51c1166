import test from 'ava';
import type { DiskFacts } from './facts.ts';
import {
  comparable,
  disksNotRead,
  disksNotTold,
  notComparable,
  openable,
  placesOf,
  sourcesWithoutPlace,
} from './storage-places.ts';

const disk = (place: string | undefined, serial: string, target = ''): DiskFacts => ({
  ...{ place, serial, target },
  ...{ format: 'raw', kind: place ?? 'network rbd' },
});

test('a place has a name where there are several disks', (t) => {
  const [one, two, none] = [disk('/a', 's', 'vda'), disk('/b', '', 'vdb'), disk(undefined, '', 'vdc')];
  t.deepEqual(placesOf([one], []), ['/a']);
  t.deepEqual(placesOf([one, two, none], []), ['s=/a', 'vdb=/b']);
  t.deepEqual(placesOf([one], ['/other.img']), ['/other.img']);
  // Neither is told by a serial that both have.
  const twins = [disk('/a', 's', 'vda'), disk('/b', 's', 'vdb')];
  t.deepEqual(placesOf(twins, []), ['vda=/a', 'vdb=/b']);
  // Nor one by a serial that is the other's name.
  t.deepEqual(placesOf([disk('/a', 'vdb', 'vda'), disk('/b', '', 'vdb')], []), ['vda=/a', 'vdb=/b']);
});

test("of QEMU's disks one may have no serial, and more are not told from each other", (t) => {
  const [named, first, second] = [disk('/a', 's'), disk('/b', ''), disk('/c', '')];
  t.deepEqual(placesOf([first], []), ['/b']);
  t.deepEqual(placesOf([named, first], []), ['s=/a', '/b']);
  t.deepEqual(placesOf([named, first, second], []), ['s=/a']);
  t.deepEqual(placesOf([first, disk(undefined, '')], []), []);
  t.deepEqual(disksNotTold([named, first, second], ['s=/a']), [first, second]);
  t.deepEqual(disksNotTold([named, first], ['s=/a', '/b']), []);
  t.deepEqual(disksNotTold([first, second], ['vda=/x', 'vdb=/y']), []);
  t.deepEqual(disksNotTold([first, second], ['vda=/b']), [second]);
});

test('what the engine cannot read by itself may be given a place', (t) => {
  const network = disk(undefined, '', 'vda');
  t.deepEqual(disksNotRead([network], []), [network]);
  t.deepEqual(disksNotRead([network], ['nbd+unix:///x?socket=/s']), []);
  t.deepEqual(disksNotRead([network, disk('/a', 's')], ['vda=nbd+unix:///x?socket=/s', 's=/a']), []);
  t.deepEqual(disksNotRead([network, disk('/a', 's')], ['/a']), [network]);
});

test('files and block devices are compared, and what only the engine opens is not', (t) => {
  const places = ['/a', 'vda=/dev/vg/a=b', 'nfs://h/x', 'server:/export=/mnt', 'vdb=nbd+unix:///x?socket=/s'];
  t.deepEqual(comparable(places), ['/a', '/dev/vg/a=b', 'nfs://h/x']);
  t.deepEqual(notComparable(places), ['server:/export=/mnt', 'vdb=nbd+unix:///x?socket=/s']);
  t.deepEqual(
    openable(places),
    places.filter((place) => !place.startsWith('server')),
  );
});

test('what the list names has a place, or is named', (t) => {
  const [vda, vdb] = ['vda', 'vdb'].map((disk) => ({ kind: 'disk', disk }) as const);
  const files = ['a', 'b'].map((file) => ({ kind: 'file', fileSystem: 'server:/x', path: file }) as const);
  if (vda === undefined || vdb === undefined) throw new Error('two disks');
  t.deepEqual(sourcesWithoutPlace([vda], ['/a']), []);
  t.deepEqual(sourcesWithoutPlace([vda], ['vdb=/a']), ['vda']);
  t.deepEqual(sourcesWithoutPlace([vda, vdb], ['/a']), ['vda', 'vdb']);
  t.deepEqual(sourcesWithoutPlace([vda, vdb], ['/a', 'vdb=/b']), []);
  t.deepEqual(sourcesWithoutPlace([vda, ...files], ['/a']), ['server:/x']);
  t.deepEqual(sourcesWithoutPlace(files, ['server:/x=/mnt']), []);
});
