/**
 * What the rest of the harness knows of a machine: names, addresses and an ssh connection. Local containers and real
 * machines differ only in the ssh configuration behind these interfaces (docs/architecture.md, Testbed).
 */

import type { HostName } from '../../record/event.ts';

/** The roles are recorded with every event and sample, so the record defines them. */
export { hostNames, type HostName } from '../../record/event.ts';

/** The measured networks. The control network, which carries ssh, is not one of them and is never shaped. */
export const networkNames = ['migration', 'storage', 'service'] as const;
export type NetworkName = (typeof networkNames)[number];

export interface RunOptions {
  /** Kill the command and everything it started after this time. Default 60 000. */
  readonly timeoutMs?: number;
  /** Bytes or text for standard input. */
  readonly input?: string | Uint8Array;
  /** Exit codes that are not an error. Default [0]. */
  readonly okExitCodes?: readonly number[];
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** A long-lived command on a host. It ends when it is stopped, or when its ssh connection is lost. */
export interface HostProcess {
  /** Lines of standard output, kept until they are read. Ends when the process ends. */
  readonly lines: AsyncIterable<string>;
  /** Writes to the command's standard input. */
  write(text: string): void;
  /** Closes standard input: recorders and engines end cleanly on it. */
  closeInput(): void;
  /** Ends the command and all of its children on the host, even if the connection is gone. Idempotent. */
  stop(): Promise<void>;
  /** Settles when the command has ended; never rejects. `stderrTail` holds the last lines of its errors. */
  readonly ended: Promise<{ readonly exitCode: number | undefined; readonly stderrTail: string }>;
}

/** Folder on a host for what is copied there. Root's alone, so that nobody else can put a program in it. */
export const hostFolder = '/var/lib/poolshift';

export interface Host {
  readonly name: HostName;
  /** Program that runs VMs on this host: a name in its PATH, or a path. */
  readonly qemuBinary: string;
  /** Runs a shell command as root. Throws CodedError 'host' (code 'command-failed' | 'timeout' | 'unreachable'). */
  run(command: string, options?: RunOptions): Promise<RunResult>;
  /** Starts a long-lived shell command as root, in its own process group on the host. */
  spawn(command: string): HostProcess;
  /**
   * Copies a local file or folder to an absolute path on the host, making its parent folders. A file that is there is
   * replaced, whole or not at all; a folder that is there is refused unless it is empty.
   */
  copyTo(localPath: string, remotePath: string): Promise<void>;
  /** Copies a file or folder of the host; `localPath` is made. */
  copyFrom(remotePath: string, localPath: string): Promise<void>;
  /** Makes a unix socket of the host usable here. Returns the local socket's path; it is removed on testbed close. */
  forwardSocket(remotePath: string): Promise<string>;
}

export interface NetworkPlan {
  /** IPv4 address of each host on this network. */
  readonly addresses: Readonly<Record<HostName, string>>;
  /** Interface name of each host on this network, as in /sys/class/net. */
  readonly interfaces: Readonly<Record<HostName, string>>;
  /** Configured rate in bits per second; undefined where the testbed does not shape. */
  readonly rateBitsPerSecond: number | undefined;
}

export interface Testbed {
  readonly kind: 'local' | 'inventory';
  readonly hosts: Readonly<Record<HostName, Host>>;
  readonly networks: Readonly<Record<NetworkName, NetworkPlan>>;
  /** The guest's address on the service network, with its prefix length: "10.30.0.10/24". */
  readonly guestAddress: string;
  /** Folder on the nfs host that is exported over NFS; VM disks are made in it. */
  readonly exportPath: string;
  /** Where both VM hosts have that folder mounted; undefined where QEMU reads the export with its own NFS client. */
  readonly mountPath: string | undefined;
  /** The public key that may log in to the guest, and the guest's own private host key. */
  readonly guestKeys: { readonly authorizedKeyPath: string; readonly hostKeyPath: string };
  /** The guest that has this address, wherever it runs: commands run as root, and go by way of the client. */
  guest(address: string): Pick<Host, 'run'>;
  /** Where the prepared files of this machine's cache are seen on each host, or undefined if they must be copied. */
  readonly sharedCachePath: string | undefined;
  /** Whether rates of networks can be set. */
  readonly shapes: boolean;
  /** Sets the rate of a network on every host, or frees it (undefined). Where the testbed does not shape, a rate is refused. */
  shape(network: NetworkName, rateBitsPerSecond: number | undefined): Promise<void>;
  /** Takes the testbed down, or leaves it up where `keep` was asked for. Idempotent. */
  close(): Promise<void>;
}
