import test from 'ava';
import { chooseMirror, parseDeb822, parseOneLine } from './mirror.ts';

test('Debian 13, deb822, among third-party sources that use the same suite name', (t) => {
  const thirdParty = parseDeb822(
    'Types: deb\nURIs: https://db.example/repo/debian\nSuites: trixie\nComponents: main\nSigned-By: /etc/apt/db.asc\n',
  );
  const debian = parseDeb822(`
# comment
Types: deb deb-src
URIs: https://mirror.example/debian/
Suites: trixie trixie-updates
Components: main
  non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp

Types: deb
URIs: https://mirror.example/debian-security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp
`);
  t.deepEqual(chooseMirror([...thirdParty, ...debian]), {
    archiveUri: 'https://mirror.example/debian',
    securityUri: 'https://mirror.example/debian-security',
    keyring: '/usr/share/keyrings/debian-archive-keyring.pgp',
  });
});

test('Debian 12, one-line format', (t) => {
  const sources = parseOneLine(`
deb https://other.example/apt bookworm main # not Debian's
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64] http://mirror.example/debian bookworm main contrib
deb http://mirror.example/debian bookworm-updates main
#deb http://gone.example/debian bookworm main
deb http://mirror.example/debian-security/ bookworm-security main
deb https://cloud.example/apt cloud-sdk-bookworm main`);
  t.deepEqual(chooseMirror(sources), {
    archiveUri: 'http://mirror.example/debian',
    securityUri: 'http://mirror.example/debian-security',
    keyring: '/usr/share/keyrings/debian-archive-keyring.gpg',
  });
});

test('disabled sources and machines without Debian sources have no mirror', (t) => {
  t.is(
    chooseMirror(
      parseDeb822('Enabled: no\nTypes: deb\nURIs: http://m.example\nSuites: trixie\nComponents: main\n'),
    ),
    undefined,
  );
});
