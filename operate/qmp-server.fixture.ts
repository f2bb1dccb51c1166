/** The QMP side of a QEMU that is played. */
import type { Socket } from 'node:net';

/** Greets, and answers each command; one for which `answer` gives undefined gets none. */
export function serveQmp(socket: Socket, answer: (execute: string) => unknown): void {
  socket.on('error', () => undefined);
  const version = { qemu: { major: 10, minor: 0, micro: 0 }, package: '' };
  socket.write(`${JSON.stringify({ QMP: { version, capabilities: ['oob'] } })}\n`);
  socket.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString().split('\n').filter(Boolean)) {
      const { execute = '', id } = JSON.parse(line) as { execute?: string; id: number };
      const answered = answer(execute);
      if (answered !== undefined) socket.write(`${JSON.stringify({ return: answered, id })}\n`);
    }
  });
}
