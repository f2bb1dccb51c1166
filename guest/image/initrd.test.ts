import test from 'ava';
import { overlayArchive } from './initrd.ts';

const names = (archive: Buffer): string[] =>
  [...archive.toString('latin1').matchAll(/070701[0-9a-f]{104}([^\0]+)\0/gi)].map((match) => match[1] ?? '');

test('the overlay holds what was given and nothing else', (t) => {
  const authorizedKey = 'ssh-ed25519 AAAA somebody\n\n';
  t.deepEqual(names(overlayArchive({ authorizedKey, hostKey: undefined, agent: undefined })), [
    'poolshift',
    'poolshift/ssh',
    'poolshift/ssh/authorized_keys',
    'TRAILER!!!',
  ]);
  const whole = overlayArchive({ authorizedKey, hostKey: 'PRIVATE', agent: Buffer.from('agent();') });
  t.deepEqual(names(whole).slice(3), ['poolshift/host_key', 'poolshift/agent.js', 'TRAILER!!!']);
  t.true(whole.includes('ssh-ed25519 AAAA somebody\n\0'));
});
