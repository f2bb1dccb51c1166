/**
 * The configuration section at the start of a stream: 07, u32 length + machine name, then subsections
 * (05, u8 length + name, u32 version, data). migration/savevm.c, vmstate_configuration; migration/vmstate.c.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import type { StreamConfiguration } from './handler.ts';
import { incomplete, type ItemStop, stoppedBy, malformed } from './obstacles.ts';
import { sectionType } from './records.ts';

/** QEMU's longest machine name is far below; a longer one is garbage. */
const maxMachineNameBytes = 255;
/** QEMU 11 has 25 capabilities. */
const maxCapabilities = 256;

type ConfigurationStep =
  /** An item was read; the next one starts at `next`. */
  | { readonly is: 'read'; readonly next: number }
  /** No part of the configuration starts here: it is complete. */
  | { readonly is: 'complete'; readonly configuration: StreamConfiguration }
  | ItemStop;

/** Reads the section item by item, so that no more than one item need be at hand. */
export class ConfigurationReader {
  #machine: string | undefined;
  readonly #capabilities: string[] = [];
  #capabilitiesLeft = 0;
  #uuid: string | undefined;
  #targetPageBits: number | undefined;

  step(buffer: Buffer, at: number, end: number): ConfigurationStep {
    const bytes = end - at;
    if (this.#machine === undefined) return this.#readMachine(buffer, at, bytes);
    if (this.#capabilitiesLeft > 0) return this.#readCapability(buffer, at, bytes);
    if (bytes < 1) return incomplete(1);
    if (buffer.readUInt8(at) === sectionType.subsection) return this.#readSubsection(buffer, at, bytes);
    return {
      is: 'complete',
      configuration: {
        machine: this.#machine,
        capabilities: this.#capabilities,
        uuid: this.#uuid,
        targetPageBits: this.#targetPageBits,
      },
    };
  }

  #readMachine(buffer: Buffer, at: number, bytes: number): ConfigurationStep {
    if (bytes < 5) return incomplete(5);
    const nameBytes = buffer.readUInt32BE(at + 1);
    if (nameBytes > maxMachineNameBytes) {
      return stoppedBy(malformed(`the configuration has a machine name of ${nameBytes} bytes`));
    }
    if (bytes < 5 + nameBytes) return incomplete(5 + nameBytes);
    this.#machine = buffer.toString('latin1', at + 5, at + 5 + nameBytes);
    return { is: 'read', next: at + 5 + nameBytes };
  }

  #readCapability(buffer: Buffer, at: number, bytes: number): ConfigurationStep {
    const nameBytes = bytes < 1 ? 0 : buffer.readUInt8(at);
    if (bytes < 1 + nameBytes) return incomplete(1 + nameBytes);
    this.#capabilities.push(buffer.toString('latin1', at + 1, at + 1 + nameBytes));
    this.#capabilitiesLeft -= 1;
    return { is: 'read', next: at + 1 + nameBytes };
  }

  #readSubsection(buffer: Buffer, at: number, bytes: number): ConfigurationStep {
    if (bytes < 2) return incomplete(2);
    const data = 2 + buffer.readUInt8(at + 1) + 4;
    if (bytes < data) return incomplete(data);
    const name = buffer.toString('latin1', at + 2, at + data - 4);
    const dataBytes = subsectionDataBytes[name];
    if (dataBytes === undefined)
      return stoppedBy(malformed(`the configuration has an unknown subsection "${name}"`));
    if (bytes < data + dataBytes) return incomplete(data + dataBytes);
    if (name === 'configuration/uuid') {
      this.#uuid = formatUuid(buffer.toString('hex', at + data, at + data + dataBytes));
    } else if (name === 'configuration/target-page-bits') {
      this.#targetPageBits = buffer.readUInt32BE(at + data);
    } else {
      this.#capabilitiesLeft = buffer.readUInt32BE(at + data);
      if (this.#capabilitiesLeft > maxCapabilities) {
        return stoppedBy(malformed(`the configuration has ${this.#capabilitiesLeft} capabilities`));
      }
    }
    return { is: 'read', next: at + data + dataBytes };
  }
}

/** Bytes of data of each subsection; for the capabilities, of their count: u8 length + name for each follow. */
const subsectionDataBytes: Readonly<Partial<Record<string, number>>> = {
  'configuration/target-page-bits': 4,
  'configuration/capabilities': 4,
  'configuration/uuid': 16,
};

function formatUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

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
