/** As URIs and sockets' addresses write it: an IPv6 address stands in brackets (RFC 3986, 3.2.2; QEMU's util/qemu-sockets.c, inet_parse). */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** What `--connect` takes. */
export function endpoint(host: string, port: number): string {
  return `${bracketed(host)}:${port}`;
}
