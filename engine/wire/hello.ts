/** What both ends of a connection do first. Neither tells which VM it serves, not even in what it refuses. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { CodedError } from '../../foundation/coded-error.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { decodeMessage, type Hello, messageSchemas, protocolVersion } from './messages.ts';

export interface Liveness {
  /** Something is sent at least so often. Default 1000. */
  readonly heartbeatMs: number;
  /** The other engine is given up after so long a silence, and when no greeting within it. Default 10 000. */
  readonly timeoutMs: number;
}

export const defaultLiveness: Liveness = { heartbeatMs: 1000, timeoutMs: 10_000 };

/** @param vm name of the VM, if this engine was told */
export function ownHello(role: Hello['role'], vm: string | undefined, liveness: Liveness): Hello {
  const nonce = randomBytes(16).toString('hex');
  return {
    protocol: protocolVersion,
    role,
    pageSizeBytes,
    compression: ['zstd'],
    heartbeatMs: liveness.heartbeatMs,
    ...(vm === undefined ? {} : { vm: { nonce, digest: vmDigest(role, nonce, vm) } }),
  };
}

/**
 * Reads the other engine's hello.
 *
 * @param vm as `own` was made with
 * @throws CodedError 'wire', 'malformed' or 'incompatible'
 */
export function takeHello(own: Hello, vm: string | undefined, payload: Buffer, timeoutMs: number): Hello {
  const other = decodeMessage(messageSchemas.hello, payload);
  const differences = [
    own.protocol === other.protocol ? '' : `protocol ${own.protocol} here, ${other.protocol} there`,
    own.role === other.role ? `both engines are a ${own.role}` : '',
    vmDifference(vm, other),
    own.pageSizeBytes === other.pageSizeBytes ? '' : 'the page sizes differ',
    other.heartbeatMs * 2 > timeoutMs ? `the other engine is heard every ${other.heartbeatMs} ms only` : '',
  ].filter((text) => text !== '');
  if (differences.length > 0) throw new CodedError('wire', 'incompatible', differences.join('; '));
  return other;
}

function vmDifference(vm: string | undefined, other: Hello): string {
  if (vm === undefined && other.vm === undefined) return '';
  if (vm === undefined || other.vm === undefined) {
    return 'one engine was told which VM (--vm), the other was not';
  }
  const expected = Buffer.from(vmDigest(other.role, other.vm.nonce, vm), 'hex');
  return timingSafeEqual(expected, Buffer.from(other.vm.digest, 'hex'))
    ? ''
    : 'the other engine is for another VM';
}

/** With the role, so that an engine's own digest is of no use as an answer to it. */
function vmDigest(role: Hello['role'], nonce: string, vm: string): string {
  return createHash('sha256').update(`poolshift vm\0${role}\0${nonce}\0${vm}`).digest('hex');
}
