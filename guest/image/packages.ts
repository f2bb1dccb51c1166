/** How the Debian packages that a guest is made of are fetched. */
import type { PackageSet } from '../../scripts/debian-packages.ts';
import { aptSourceOptions, debianMirror } from '../../scripts/mirror.ts';
import type { Log } from '../../scripts/cache.ts';
import { confined } from './confined.ts';

export const databaseSystems = ['mariadb', 'mysql'] as const;
export type DatabaseSystem = (typeof databaseSystems)[number];

export interface BootstrapOptions {
  /** `minbase` gives a system whose programs run; `extract` only unpacks the packages and what they depend on. */
  readonly variant: 'minbase' | 'extract';
  /** A program that is run with the new tree as its argument when all packages are in it. */
  readonly customize?: string;
  readonly log: Log;
}

/** Lines of apt.conf. */
function aptDateOptions(): string[] {
  return aptSourceOptions().filter((line) => line.startsWith('Acquire::Check-'));
}

/** Fills `dir` from the machine's own Debian mirror. */
export async function bootstrap(
  dir: string,
  { suite, packages }: PackageSet,
  { variant, customize, log }: BootstrapOptions,
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
    ...(suite === 'sid' ? ['Acquire::Check-Valid-Until "false";'] : aptDateOptions()).map(
      (option) => `--aptopt=${option}`,
    ),
    ...['man', 'locale', 'doc', 'info', 'lintian', 'bug'].map(
      (folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`,
    ),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    ...(customize === undefined ? [] : [`--customize-hook=${customize}`]),
  ];
  await confined({ log, network: true })`mmdebstrap ${options} ${suite} ${dir} ${sources}`;
}
