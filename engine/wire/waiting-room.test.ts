import test from 'ava';
import { type Waiting, WaitingRoom } from './waiting-room.ts';

interface Guest extends Waiting {
  readonly name: string;
}

const guest = (name: string, address: string, isAuthenticated = false): Guest => ({
  name,
  address,
  isAuthenticated,
});

function filled(...guests: Guest[]): WaitingRoom<Guest> {
  const room = new WaitingRoom<Guest>(guests.length);
  for (const one of guests) room.enter(one);
  return room;
}

test('while there is room nobody has to go', (t) => {
  const room = new WaitingRoom<Guest>(2);
  t.is(room.enter(guest('a', 'x')), undefined);
  t.is(room.enter(guest('b', 'x')), undefined);
});

test('a full room lets the next one in, and the oldest goes', (t) => {
  const room = filled(guest('a', 'x'), guest('b', 'x'));
  t.is(room.enter(guest('c', 'x'))?.name, 'a');
  t.deepEqual(
    room.all.map(({ name }) => name),
    ['b', 'c'],
  );
});

test('a flood from one address displaces itself', (t) => {
  const room = filled(guest('source', 'y'), guest('a', 'x'), guest('b', 'x'));
  for (let i = 0; i < 1000; i++) room.enter(guest(`flood ${i}`, 'x'));
  t.true(room.all.some(({ name }) => name === 'source'));
});

test('who has shown the key stays while there are others', (t) => {
  const room = filled(guest('source', 'x', true), guest('a', 'x'), guest('b', 'y'));
  for (let i = 0; i < 1000; i++) room.enter(guest(`flood ${i}`, `address ${i % 7}`));
  t.true(room.all.some(({ name }) => name === 'source'));
});

test('who has shown the key makes room for the next one too, so that the room never grows', (t) => {
  const room = filled(guest('a', 'x', true), guest('b', 'x', true));
  t.is(room.enter(guest('c', 'x'))?.name, 'a');
  t.is(room.all.length, 2);
});

test('who has left has left a place', (t) => {
  const [a, b] = [guest('a', 'x'), guest('b', 'x')];
  const room = filled(a, b);
  room.leave(b);
  t.is(room.enter(guest('c', 'x')), undefined);
});
