/** The options by which the engines know each other, and `poolshift-engine key`. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { createSecureContext } from 'node:tls';
import { type Command, Option } from 'commander';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import type { PeerSecurity } from '../wire/peer-security.ts';
import { makeKey, readKey, writeKey } from '../wire/pre-shared-key.ts';

export interface PeerArguments {
  readonly pskFile?: string;
  readonly tlsDir?: string;
  readonly tlsHostname?: string;
  readonly insecurePlaintext?: true;
}

export function addPeerOptions(command: Command, role: 'source' | 'destination'): Command {
  const ours = role === 'source' ? 'client' : 'server';
  command
    .option(
      '--psk-file <path>',
      'the key that both engines have, made by "poolshift-engine key"; or fd:N for an inherited descriptor',
    )
    .option(
      '--tls-dir <folder>',
      `certificates as QEMU has them: ca-cert.pem, ${ours}-cert.pem, ${ours}-key.pem (e.g. /etc/pki/qemu)`,
    )
    .addOption(
      new Option(
        '--insecure-plaintext',
        "no TLS: whoever reaches the connection reads and writes the guest's memory",
      ),
    );
  if (role === 'source') {
    command.option(
      '--tls-hostname <name>',
      "name in the destination's certificate (default: the host in --connect)",
    );
  }
  return command;
}

/** @throws CodedError 'command', 'usage' */
export function peerSecurity(role: 'source' | 'destination', args: PeerArguments): PeerSecurity {
  const ways = [args.pskFile, args.tlsDir, args.insecurePlaintext].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    throw new CodedError(
      'command',
      'usage',
      `${ways.length === 0 ? 'nothing is given by which to know the other engine.' : 'only one of these can be:'} ` +
        'Give both engines --psk-file with a key that "poolshift-engine key --out FILE" has made, ' +
        'or --tls-dir with certificates, or --insecure-plaintext on a network that nobody else reaches',
    );
  }
  if (args.tlsHostname !== undefined && args.tlsDir === undefined) {
    throw new CodedError('command', 'usage', '--tls-hostname is for certificates (--tls-dir)');
  }
  if (args.pskFile !== undefined) {
    const place = args.pskFile;
    return { by: 'pre-shared-key', key: asUsage(() => readKey(place)) };
  }
  return args.tlsDir === undefined ? { by: 'nothing' } : certificates(role, args.tlsDir, args.tlsHostname);
}

/** Files as QEMU names them (docs/system/tls.rst; crypto/tlscredsx509.c), so that hosts which have them need no others. */
function certificates(
  role: 'source' | 'destination',
  folder: string,
  hostName: string | undefined,
): PeerSecurity {
  const ours = role === 'source' ? 'client' : 'server';
  const read = (name: string): Buffer => {
    const file = path.join(folder, name);
    try {
      return readFileSync(file);
    } catch (cause) {
      throw new CodedError('command', 'usage', `cannot read ${file}: ${(cause as Error).message}`, { cause });
    }
  };
  const keyFile = path.join(folder, `${ours}-key.pem`);
  const security = {
    by: 'certificates',
    authority: read('ca-cert.pem'),
    certificate: read(`${ours}-cert.pem`),
    key: read(`${ours}-key.pem`),
    ...(existsSync(path.join(folder, 'ca-crl.pem')) ? { revoked: read('ca-crl.pem') } : {}),
    ...(hostName === undefined ? {} : { hostName }),
  } as const;
  // A group of its own that QEMU is in is how distributions have it.
  if ((statSync(keyFile).mode & 0o007) !== 0) {
    throw new CodedError('command', 'usage', `others may read or write ${keyFile}: chmod o= it`);
  }
  const { authority: ca, certificate: cert, key, revoked: crl } = security;
  try {
    // As both ends do when somebody connects, which is too late to say it.
    createSecureContext({ ca, cert, key, ...(crl === undefined ? {} : { crl }) });
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CodedError('command', 'usage', `the certificates in ${folder} cannot be used: ${why}`, {
      cause,
    });
  }
  return security;
}

/** `poolshift-engine key`: returns what is to be printed. @throws CodedError 'command', 'usage' */
export function keyCommand(out: string | undefined): string {
  const key = makeKey();
  if (out === undefined) return `${key}\n`;
  asUsage(() => {
    writeKey(out, key);
  });
  return '';
}

function asUsage<T>(body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (isCoded(cause, 'key')) throw new CodedError('command', 'usage', cause.message, { cause });
    throw cause;
  }
}
