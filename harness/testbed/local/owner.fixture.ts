/** A program that has a lab up, until it is killed. Says "up" when it is. */
import { startLocalTestbed } from './start.ts';

const testbed = await startLocalTestbed({
  rates: { migration: 125e6, storage: 125e6, service: 125e6 },
  keep: () => false,
  owner: 'owner.fixture.ts',
  log: (line) => {
    console.error(line);
  },
});
testbed.hosts.src.spawn('sleep 7010');
console.log('up');
process.stdin.resume();
