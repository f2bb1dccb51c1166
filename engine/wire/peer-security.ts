/**
 * How the engines know each other, and keep everybody else out: TLS 1.3 with a key that both have, or with certificates
 * both ways. Only who says so goes without.
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  checkServerIdentity,
  connect as connectTls,
  createServer as createTlsServer,
  type PeerCertificate,
  type TLSSocket,
} from 'node:tls';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { type ChunkHandler, connectTo, type ReadBuffer } from './fast-socket.ts';
import type { FrameProtection } from './frame.ts';

export type PeerSecurity =
  /** A key that both engines have, of 32 bytes (pre-shared-key.ts). */
  | { readonly by: 'pre-shared-key'; readonly key: Buffer }
  | {
      readonly by: 'certificates';
      /** PEM: who signs the other engine's certificate. */
      readonly authority: Buffer;
      readonly certificate: Buffer;
      readonly key: Buffer;
      /** PEM: certificates that hold no more. */
      readonly revoked?: Buffer;
      /** What the destination's certificate must be made out to; default the host that is connected to. */
      readonly hostName?: string;
    }
  | { readonly by: 'nothing' };

/** The TLS of both ends. With a key of this kind Node takes only the cipher suites whose hash is SHA-256. */
const tls13 = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
} as const;
/** All engines show the same: the key says who they are. */
export const pskIdentity = 'poolshift';

export function protectionOf(security: PeerSecurity): FrameProtection {
  return security.by === 'nothing' ? 'checksums' : 'tls';
}

/**
 * Connects to the destination engine.
 *
 * @param onSecure called when it is known to be the right one, before which nothing may be sent to it
 */
export function connectToPeer(
  security: PeerSecurity,
  { host, port }: { readonly host: string; readonly port: number },
  buffer: ReadBuffer,
  onChunk: ChunkHandler,
  onSecure: () => void,
): Socket {
  if (security.by === 'nothing') return connectTo(host, port, buffer, onChunk).once('connect', onSecure);
  const options = { ...clientOptions(security, host), host, port, onread: buffer.handler(onChunk) };
  return connectTls(options).once('secureConnect', onSecure);
}

function clientOptions(security: Exclude<PeerSecurity, { by: 'nothing' }>, host: string) {
  if (security.by === 'pre-shared-key') {
    return {
      ...tls13,
      pskCallback: () => ({ psk: security.key, identity: pskIdentity }),
      // Nobody's certificate is asked for, and none will do, whoever has signed it.
      ca: [],
      checkServerIdentity: (_: string, certificate: PeerCertificate) =>
        Object.keys(certificate).length === 0
          ? undefined
          : new CodedError('wire', 'not-authenticated', 'the destination has a certificate, not the key'),
    };
  }
  const { authority, certificate, key, revoked, hostName = host } = security;
  return {
    ...tls13,
    ca: authority,
    cert: certificate,
    key,
    ...(revoked === undefined ? {} : { crl: revoked }),
    checkServerIdentity: (_: string, shown: PeerCertificate) => checkServerIdentity(hostName, shown),
  };
}

/**
 * Makes sure that who has connected is a source engine. At most one of the callbacks is called, and none when the socket was closed here;
 * `onSecure` within the call of the event, so that the socket can be adopted.
 */
type Admit = (
  accepted: Socket,
  onSecure: (socket: Socket) => void,
  onRefused: (reason: string) => void,
) => void;

/** One for all who connect: a context of TLS for each would be memory that is given back late. */
export function peerGate(security: PeerSecurity, timeoutMs: number): Admit {
  if (security.by === 'nothing') {
    return (accepted, onSecure) => {
      onSecure(accepted);
    };
  }
  const waiting = new Map<
    string,
    { readonly secure: (socket: Socket) => void; refuse(reason: string): void }
  >();
  const take = (socket: Socket) => {
    const one = waiting.get(ends(socket));
    waiting.delete(ends(socket));
    return one;
  };
  const server = createTlsServer({ ...serverOptions(security), handshakeTimeout: timeoutMs });
  server.on('tlsClientError', (error, socket) => {
    take(socket)?.refuse(refusalOfSource(error, security));
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    // Whoever adopts it hears of its errors.
    socket.on('error', () => undefined);
    const one = take(socket);
    if (security.by === 'certificates' && !socket.authorized) {
      socket.destroy();
      one?.refuse(`its certificate does not hold here (${String(socket.authorizationError)})`);
      return;
    }
    one?.secure(socket);
  });
  return (accepted, secure, refuse) => {
    const key = ends(accepted);
    const one = { secure, refuse };
    waiting.set(key, one);
    accepted.on('error', () => undefined);
    accepted.once('close', () => {
      // Another one may have the same ends by now.
      if (waiting.get(key) !== one) return;
      waiting.delete(key);
      refuse(wentAway);
    });
    server.emit('connection', accepted);
  };
}

/** Tells a connection from all others that are open. */
const ends = (socket: Socket): string =>
  [socket.localAddress, socket.localPort, socket.remoteAddress, socket.remotePort].join(' ');

const wentAway = 'it went away during the handshake';

/** Of a server for all who connect: each is verified anew, and takes up nobody's session. */
const forAll = { ...tls13, secureOptions: constants.SSL_OP_NO_TICKET } as const;

function serverOptions(security: Exclude<PeerSecurity, { by: 'nothing' }>) {
  if (security.by === 'pre-shared-key') {
    return {
      ...forAll,
      pskCallback: (_: TLSSocket, identity: string) => (identity === pskIdentity ? security.key : null),
    };
  }
  const { authority, certificate, key, revoked } = security;
  return {
    ...forAll,
    ca: authority,
    cert: certificate,
    key,
    ...(revoked === undefined ? {} : { crl: revoked }),
    requestCert: true,
    // Judged above, where the reason can be told.
    rejectUnauthorized: false,
  };
}

interface TlsError extends Error {
  readonly code?: string;
}

/** What it means to the source that a connection broke; undefined where the system's words say it. */
export function explainBreak(cause: TlsError, security: PeerSecurity): CodedError<'wire'> | undefined {
  if (isCoded(cause, 'wire')) return cause;
  if (security.by === 'nothing') return undefined;
  const { code = '', message } = cause;
  if (message.includes('wrong version number')) {
    return new CodedError(
      'wire',
      'not-authenticated',
      'the destination does not speak TLS: it was told --insecure-plaintext, or is no engine',
      { cause },
    );
  }
  if (security.by === 'pre-shared-key') {
    // Alerts of RFC 8446, 6.2: decrypt_error where the keys differ, handshake_failure where the other end has none.
    if (/SSL alert number (40|51)/.test(message)) {
      return new CodedError('wire', 'not-authenticated', 'the other engine has another key', { cause });
    }
    if (certificateErrors.test(code)) {
      return new CodedError('wire', 'not-authenticated', 'the destination has a certificate, not the key', {
        cause,
      });
    }
  } else {
    if (/SSL alert number/.test(message)) {
      return new CodedError(
        'wire',
        'not-authenticated',
        'the destination refuses the certificate of this engine',
        { cause },
      );
    }
    if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
      return new CodedError('wire', 'not-authenticated', `the destination is another host: ${message}`, {
        cause,
      });
    }
    if (certificateErrors.test(code)) {
      return new CodedError(
        'wire',
        'not-authenticated',
        `the certificate of the destination does not hold here (${code})`,
        { cause },
      );
    }
  }
  return undefined;
}

/** Codes of Node's errors for certificates (node's doc/api/tls.md, "X509 certificate error codes"). */
const certificateErrors =
  /CERT|CRL|ISSUER|VERIFY|SIGNATURE|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH/;

/** What the destination says of a connection that did not become a source's. */
function refusalOfSource(error: TlsError, security: PeerSecurity): string {
  switch (error.code) {
    case 'ERR_SSL_BINDER_DOES_NOT_VERIFY':
      return 'the other engine has another key';
    case 'ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM':
      return security.by === 'pre-shared-key'
        ? 'it has no key of ours'
        : 'it takes no certificate of this kind';
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_HTTP_REQUEST':
      return 'it does not speak TLS';
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
      return 'it does not speak TLS 1.3';
    case 'ECONNRESET':
      return wentAway;
    default:
      return `the handshake failed (${error.code ?? 'no code'})`;
  }
}
