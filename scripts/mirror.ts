/**
 * Where Debian packages come from on this machine. Rootfs and guest images are made from the machine's own mirror, so
 * they work wherever the machine's apt works.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { $ } from 'zx';

interface DebianMirror {
  readonly archiveUri: string;
  /** Undefined where the machine has no security archive configured. */
  readonly securityUri: string | undefined;
  /** Keyring file that signs the archive, for `signed-by=`. */
  readonly keyring: string;
}

/**
 * One source of packages, from either of apt's two formats (sources.list(5)). They are read here, as `apt-get indextargets`
 * does not tell who signs a source (`Signed-By`), and whose archive it is only after an `apt-get update`.
 */
interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly signedBy: string | undefined;
}

const defaultKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const debianSuites = ['bookworm', 'trixie', 'forky', 'sid', 'oldstable', 'stable', 'testing', 'unstable'];

/**
 * Reads the machine's apt configuration; third-party sources are ignored.
 *
 * @throws Error if no Debian archive is configured
 */
export function debianMirror(aptDir = '/etc/apt'): DebianMirror {
  const parts = path.join(aptDir, 'sources.list.d');
  const files = [path.join(aptDir, 'sources.list')];
  if (existsSync(parts))
    files.push(
      ...readdirSync(parts)
        .sort()
        .map((name) => path.join(parts, name)),
    );
  const sources = files
    .filter((file) => existsSync(file))
    .flatMap((file) => {
      const text = readFileSync(file, 'utf8');
      if (file.endsWith('.sources')) return parseDeb822(text);
      return file.endsWith('.list') ? parseOneLine(text) : [];
    });
  const mirror = chooseMirror(sources);
  if (mirror === undefined) throw new Error(`no Debian archive is configured in ${files.join(', ')}`);
  return {
    ...mirror,
    archiveUri: plainUri(mirror.archiveUri),
    securityUri: mirror.securityUri === undefined ? undefined : plainUri(mirror.securityUri),
  };
}

/**
 * What apt needs on this machine to reach its sources, as lines of apt.conf: proxies, and whether dates are checked (a
 * mirror that is a snapshot is always out of date).
 */
export function aptSourceOptions(): readonly string[] {
  return $.sync`apt-config dump`
    .lines()
    .filter((line) => /^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy) /.test(line));
}

/** Picks the Debian archive among sources of which others may use Debian's suite names too. */
export function chooseMirror(sources: readonly AptSource[]): DebianMirror | undefined {
  const main = sources.filter((source) => source.components.includes('main') && source.uris.length > 0);
  const updates = new Set(
    main
      .filter(({ suites }) => suites.some((suite) => suite.endsWith('-updates')))
      .flatMap(({ uris }) => uris),
  );
  // A third-party source can be "trixie main" too, but it neither has Debian's keyring nor a "trixie-updates".
  const likeness = ({ uris, signedBy }: AptSource): number =>
    (signedBy?.includes('debian-archive') === true ? 2 : 0) + (uris.some((uri) => updates.has(uri)) ? 1 : 0);
  const archive = main
    .filter(({ suites }) => suites.some((suite) => debianSuites.includes(suite)))
    .reduce<AptSource | undefined>(
      (best, source) => (best === undefined || likeness(source) > likeness(best) ? source : best),
      undefined,
    );
  const archiveUri = archive?.uris[0];
  if (archive === undefined || archiveUri === undefined) return undefined;
  const security = main.find(({ suites }) =>
    suites.some((suite) =>
      debianSuites.some((name) => suite === `${name}-security` || suite === `${name}/updates`),
    ),
  );
  return {
    archiveUri,
    securityUri: security?.uris[0],
    keyring: archive.signedBy?.startsWith('/') === true ? archive.signedBy : defaultKeyring,
  };
}

/** Parses a `.sources` file. */
export function parseDeb822(text: string): AptSource[] {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      // A line that begins with a space goes on with the field above it.
      const fields = new Map(
        stanza
          .replaceAll(/\n[ \t]+/g, ' ')
          .split('\n')
          .map((line) => /^([\w-]+):(.*)$/.exec(line))
          .filter((match) => match !== null)
          .map(([, key = '', value = '']) => [key.toLowerCase(), value.trim()] as const),
      );
      const words = (key: string): string[] =>
        (fields.get(key) ?? '').split(/\s+/).filter((word) => word !== '');
      if (!words('types').includes('deb') || fields.get('enabled')?.toLowerCase() === 'no') return [];
      return [
        {
          uris: words('uris').map(withoutSlash),
          suites: words('suites').map(withoutSlash),
          components: words('components'),
          signedBy: fields.get('signed-by'),
        },
      ];
    });
}

/** Parses a `.list` file. */
export function parseOneLine(text: string): AptSource[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)([^#]*)/.exec(line);
    if (match === null) return [];
    const [, options = '', uri = '', suite = '', components = ''] = match;
    return [
      {
        uris: [withoutSlash(uri)],
        suites: [withoutSlash(suite)],
        components: components.split(/\s+/).filter((word) => word !== ''),
        signedBy: /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1],
      },
    ];
  });
}

/** Debian's cloud images name a file that lists mirrors (`mirror+file:`), which does not exist inside a new rootfs. */
function plainUri(uri: string): string {
  const match = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(uri);
  if (match?.[1] === undefined) return uri;
  const first = readFileSync(match[1], 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[0] ?? '')
    .find((word) => /^\w+:/.test(word));
  if (first === undefined) throw new Error(`${match[1]} lists no mirror`);
  return withoutSlash(first);
}

function withoutSlash(text: string): string {
  return text.replace(/\/+$/, '');
}
