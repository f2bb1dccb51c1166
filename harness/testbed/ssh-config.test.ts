import test from 'ava';
import { sshConfig } from './ssh-config.ts';

const host = { address: '192.0.2.1', user: 'root', hostKey: { kind: 'alias' } } as const;

test('nothing is taken from the user, and host keys are checked', (t) => {
  const text = sshConfig('/run/x', [{ ...host, alias: 'src', identityFile: '/keys/of 50%' }]);
  for (const line of [
    'IdentityAgent none',
    'IdentitiesOnly yes',
    'UserKnownHostsFile "/run/x/known_hosts"',
    'GlobalKnownHostsFile /dev/null',
    'StrictHostKeyChecking yes',
    'HostKeyAlias src',
    'IdentityFile "/keys/of 50%%"',
  ])
    t.true(text.includes(`  ${line}\n`), line);
});

test('an agent and a file of known hosts are used where they are named', (t) => {
  const text = sshConfig('/run/x', [
    { ...host, alias: 'src', identityAgent: 'SSH_AUTH_SOCK', hostKey: { kind: 'file', path: '/known' } },
  ]);
  // The keys in ~/.ssh are not asked for.
  t.regex(text, /IdentityFile none\n {2}IdentityAgent SSH_AUTH_SOCK\n {2}UserKnownHostsFile "\/known"\n/);
  t.notRegex(text, /IdentityAgent none|HostKeyAlias/);
});
