/** Whether a stream is of the VM that an engine was told of. */
import { CodedError } from '../../foundation/coded-error.ts';
import type { StreamConfiguration } from './handler.ts';

const uuidShape = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Compares the uuid of a VM with the one in its stream, which QEMU writes where it was started with `-uuid` and has the
 * capability `validate-uuid` (migration/savevm.c, vmstate_uuid_needed). Names are not in the stream.
 *
 * @returns whether there was something to compare with; true for a name, with which nothing is to be compared
 * @throws CodedError 'stream', 'another-vm', which names neither
 */
export function checkVm(vm: string | undefined, { uuid }: Pick<StreamConfiguration, 'uuid'>): boolean {
  if (vm === undefined || !uuidShape.test(vm)) return true;
  if (uuid === undefined) return false;
  if (uuid.toLowerCase() !== vm.toLowerCase()) {
    throw new CodedError('stream', 'another-vm', 'QEMU migrates another VM than the one of --vm');
  }
  return true;
}
