/** How the Debian packages that a guest, or one of the testbed's hosts, is made of are fetched. */
import type { PackageSet } from '../../scripts/debian-packages.ts';
import { aptSourceOptions, debianMirror } from '../../scripts/mirror.ts';
import type { Log } from '../../scripts/cache.ts';
import { confined } from './confined.ts';

interface BootstrapOptions {
  /** `minbase` gives a system whose programs run; `extract` only unpacks the packages and what they depend on. */
  readonly variant: 'minbase' | 'extract';
  /** Commands for the shell, or a program, that have the new tree as `$1` when all packages are in it (mmdebstrap(1), hooks). */
  readonly customize?: readonly string[];
  readonly log: Log;
}

/** Fills `dir` from the machine's own Debian mirror. */
export async function bootstrap(
  dir: string,
  { suite, packages }: PackageSet,
  { variant, customize = [], log }: BootstrapOptions,
): Promise<void> {
  const mirror = debianMirror();
  const source = (uri: string, name: string): string =>
    `deb [signed-by=${mirror.keyring}] ${uri} ${name} main`;
  const sources = [source(mirror.archiveUri, suite)];
  if (suite !== 'sid' && mirror.securityUri !== undefined)
    sources.push(source(mirror.securityUri, `${suite}-security`));

  const options = [
    '--mode=root',
    `--variant=${variant}`,
    '--components=main',
    `--include=${packages.join(',')}`,
    '--aptopt=Apt::Install-Recommends "false"',
    '--aptopt=Acquire::Retries "3"',
    // A mirror that is a snapshot keeps an old date, which the unstable suite's Release file declares expired. Its signature is
    // checked all the same; for other suites the date is, too, unless this machine's own apt does without.
    ...(suite === 'sid' ? ['--aptopt=Acquire::Check-Valid-Until "false";'] : []),
    ...aptSourceOptions().map((option) => `--aptopt=${option}`),
    ...['man', 'locale', 'doc', 'info', 'lintian', 'bug'].map(
      (folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`,
    ),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    ...customize.map((hook) => `--customize-hook=${hook}`),
  ];
  await confined({ log, network: true })`mmdebstrap ${options} ${suite} ${dir} ${sources}`;
}
