/** What both ends of a connection do first. */
import { pageSizeBytes } from '../pages/page-list.ts';
import { decodeMessage, type Hello, checkHello, messageSchemas, protocolVersion } from './messages.ts';
import { WireError } from './wire-error.ts';

export interface Liveness {
  /** Something is sent at least so often. Default 1000. */
  readonly heartbeatMs: number;
  /** The other engine is given up after so long a silence. Default 10 000. */
  readonly timeoutMs: number;
}

export const defaultLiveness: Liveness = { heartbeatMs: 1000, timeoutMs: 10_000 };

export function ownHello(role: Hello['role'], vm: string | undefined, liveness: Liveness): Hello {
  return {
    protocol: protocolVersion,
    role,
    pageSizeBytes,
    compression: ['zstd'],
    heartbeatMs: liveness.heartbeatMs,
    ...(vm === undefined ? {} : { vm }),
  };
}

/** Reads the other engine's hello. @throws WireError 'malformed' or 'incompatible' */
export function takeHello(own: Hello, payload: Buffer, timeoutMs: number): Hello {
  const other = decodeMessage(messageSchemas.hello, payload);
  checkHello(own, other);
  if (other.heartbeatMs * 2 > timeoutMs) {
    throw new WireError('incompatible', `the other engine is heard every ${other.heartbeatMs} ms only`);
  }
  return other;
}
