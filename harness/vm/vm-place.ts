/**
 * Where a VM has its place on its hosts: names, paths, addresses and ports, all by its index. Two VMs of one host share none
 * of them. Pure.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';

/** VMs that a host may have at once. */
export type VmIndex = 0 | 1;

export interface VmPlace {
  readonly index: VmIndex;
  /** Ends the names of what is its own. */
  readonly suffix: string;
  /** Its systemd unit. */
  readonly unit: string;
  /** What its QEMU is told of it. */
  readonly machine: Pick<MachineDescription, 'name' | 'paths' | 'tapInterface' | 'macAddress'>;
  /** Where its QEMU connects to the source engine, and the target's waits for the destination engine. */
  readonly outgoingSocket: string;
  readonly incomingSocket: string;
  /** TCP port of its migration, on the destination's address in the migration network. */
  readonly migrationPort: number;
  /** On the client: the commits that were acknowledged. */
  readonly ledgerFile: string;
}

function placeOf(index: VmIndex): VmPlace {
  const suffix = index === 0 ? '' : `-${index}`;
  const inRun = (stem: string, extension: string): string => `/run/poolshift/${stem}${suffix}${extension}`;
  return {
    index,
    suffix,
    unit: `poolshift-vm${suffix}`,
    machine: {
      name: `poolshift${suffix}`,
      paths: {
        controlSocket: inRun('qmp', '.sock'),
        recorderSocket: inRun('qmp-recorder', '.sock'),
        agentSocket: inRun('agent', '.sock'),
        console: inRun('console', '.log'),
        pidFile: inRun('qemu', '.pid'),
        ram: `/dev/shm/poolshift-ram${suffix}`,
      },
      tapInterface: `pstap${index}`,
      macAddress: `52:54:00:aa:00:1${index}`,
    },
    outgoingSocket: inRun('outgoing', '.sock'),
    incomingSocket: inRun('incoming', '.sock'),
    // 4445 is that of --verify-ram.
    migrationPort: 4444 + 2 * index,
    ledgerFile: inRun('ledger', ''),
  };
}

export const firstVm = placeOf(0);
export const secondVm = placeOf(1);
export const vmPlaces = [firstVm, secondVm] as const;

/**
 * The VM's address with its prefix length: the testbed's guest's, or those after it.
 * @throws CodedError 'vm', 'no-address' where the network has none
 */
export function addressOf({ index }: VmPlace, guestAddress: string): string {
  const [address = '', prefix = ''] = guestAddress.split('/');
  const parts = address.split('.').map(Number);
  const last = (parts.at(-1) ?? 0) + index;
  if (last > 254)
    throw new CodedError(
      'vm',
      'no-address',
      `a second VM has the address after the guest's, and there is none after ${address} in its network`,
    );
  return `${[...parts.slice(0, -1), last].join('.')}/${prefix}`;
}

/** The same without its prefix length: "10.30.0.10". */
export function hostOf(place: VmPlace, guestAddress: string): string {
  return addressOf(place, guestAddress).replace(/\/.*$/, '');
}
