import test from 'ava';
import { disksWithoutName, openSource, storageKeyOf, type StoragePlace } from './storage-place.ts';

const volumes = ['0f3e1c2a-7b4d-4e5f-8a9b-0123456789ab', '9d8c7b6a-5f4e-4d3c-9b2a-ba9876543210'] as const;
const placeOf = (disk: string, places: readonly StoragePlace[]): string | undefined =>
  storageKeyOf({ kind: 'disk', disk }, places);

test('a serial of more than 20 characters is known by those that the guest sees', (t) => {
  const places = volumes.map((name) => ({ name, location: `/volumes/${name}` }));
  const disks = volumes.map((name) => name.slice(0, 20));
  t.deepEqual(
    disks.map((disk) => placeOf(disk, places)),
    places.map(({ location }) => location),
  );
  const sources = disks.map((disk) => ({ kind: 'disk', disk }) as const);
  t.deepEqual(disksWithoutName(sources, places), []);
  // What is shorter was not cut.
  t.is(placeOf(volumes[0].slice(0, 19), places), undefined);
});

test('so is one with a blank where it is cut or at its end, and one of more than 36 on a SCSI disk', (t) => {
  const places = ['pool of the database of shop', 'spare ', `scsi-${volumes[0]}`].map((name) => ({
    name,
    location: `/${name}`,
  }));
  const cut = `scsi-${volumes[0]}`.slice(0, 36);
  t.deepEqual(
    ['pool of the database', 'spare', cut].map((disk) => placeOf(disk, places)),
    places.map(({ location }) => location),
  );
  t.is(placeOf('pool of the', places), undefined);
  t.is(placeOf('0123456789012345678', [{ name: '0123456789012345678 9', location: '/x' }]), '/x');
});

test('a whole name goes before a cut one, and one that two places may have is of neither', (t) => {
  const disk = volumes[0].slice(0, 20);
  const cut = { name: volumes[0], location: '/cut' };
  t.is(placeOf(disk, [cut, { name: disk, location: '/whole' }]), '/whole');
  const both = [cut, { name: `${disk}-other`, location: '/other' }];
  t.is(placeOf(disk, both), undefined);
  t.deepEqual(disksWithoutName([{ kind: 'disk', disk }], both), [disk]);
});

test('a URI that is none says what it should be', async (t) => {
  for (const [location, wanted] of [
    ['nfs://h/100%.img', 'nfs://HOST/PATH'],
    ['nfs://[h/x', 'nfs://HOST/PATH'],
    ['nfs://h', 'nfs://HOST/PATH'],
    ['nbd+unix:///100%?socket=/s', 'nbd+unix:///EXPORT?socket=PATH'],
    ['nbd+unix://', 'nbd+unix:///EXPORT?socket=PATH'],
    ['nbd+unix:///x?socket=', 'nbd+unix:///EXPORT?socket=PATH'],
  ] as const)
    await t.throwsAsync(openSource({ kind: 'disk', disk: 'vda' }, [{ name: undefined, location }]), {
      code: 'invalid-place',
      message: `"${location}" is not ${wanted}`,
    });
  const noServer = openSource({ kind: 'disk', disk: 'vda' }, [
    { name: undefined, location: 'nbd+unix:///nowhere/a b%25' },
  ]);
  await t.throwsAsync(noServer, { message: /of \/nowhere\/a b%: connect/ });
});
