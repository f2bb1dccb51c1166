/** How a client reaches the database server in the VM, over the service network. */
export interface DatabaseServer {
  /** IPv4 address, without prefix length. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}
