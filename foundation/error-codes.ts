/** Every area that has errors of its own, and their codes. */
export interface ErrorCodes {
  /** A command line that cannot be carried out: exit code 2. */
  command: 'usage';

  /** Something that was to be done on a host failed. The message has its last lines of output. */
  host: 'command-failed' | 'timeout' | 'unreachable' | 'copy-failed' | 'forward-failed';

  lab:
    /** The machine has a lab, and there is room for one only. */
    | 'already-up'
    | 'not-up'
    /** The keeper or a host did not come up. */
    | 'start-failed'
    /** This user cannot make namespaces. */
    | 'needs-root';

  /** The message names file, line, place and what is valid. */
  inventory: 'invalid';

  vagrant:
    /** Something is missing on this machine, and the message says all of it. */
    | 'not-ready'
    /** Vagrant did not bring the machines up. */
    | 'up-failed'
    /** Vagrant or a machine said something else than was expected. */
    | 'bad-answer';

  run:
    /** The message says which step, `cause` why. */
    | 'step-failed'
    | 'migration-failed'
    /** The engine cannot run on these hosts, ever: nothing failed, and nothing was measured. */
    | 'engine-unavailable'
    | 'warm-up-failed'
    /** More of its memory stays zero than `--guest aged` allows. */
    | 'guest-not-aged'
    /** What the run depends on is gone (harness/run/run-watch.ts). */
    | 'vm-gone'
    | 'server-gone'
    | 'load-stopped';

  vm:
    /** The host runs a machine already. */
    | 'already-running'
    /** QEMU ended or did not answer; the message has its last lines. */
    | 'start-failed'
    /** The database server did not answer in time; the message has the console's last lines. */
    | 'not-ready'
    /** QEMU could not write the VM to a file, or could not go on from one; the message is its reason. */
    | 'not-kept'
    /** The guest's network has no address for a second VM. */
    | 'no-address';

  qmp:
    /** No QEMU answers at the socket. */
    | 'connect-failed'
    /** QEMU refused a command; the message is its reason. */
    | 'command-failed'
    /** The connection ended before the answer. */
    | 'connection-lost'
    /** No answer or event in time. */
    | 'timeout'
    /** What came is not QMP. */
    | 'protocol';

  recorder:
    /** The recorder is gone. */
    | 'ended'
    | 'no-answer'
    /** It printed something else. */
    | 'bad-report';

  record:
    /** A result folder cannot be written. */
    | 'not-writable'
    /** A raw file is missing or its content is wrong. */
    | 'not-readable';

  report:
    /** A folder holds no runs, or a file of a run is not what docs/measurements.md says. */
    | 'not-readable'
    /** Runs were made under conditions that do not go together. */
    | 'different-conditions'
    /** A figure could not be drawn. */
    | 'not-drawn'
    | 'unknown-name'
    /** README.md has no place for what it is to show. */
    | 'no-block';

  /** The source engine cannot go on. */
  source:
    /** QEMU ended as pre-copy what was to become post-copy: the VM would stand until the last page is there. */
    | 'no-postcopy'
    /** QEMU went over to post-copy before the VM might move. */
    | 'early-postcopy'
    /** A package was made of a part of QEMU's stream. */
    | 'package-cut'
    /** Guest memory cannot be found or read. */
    | 'guest-ram'
    /** What is read as guest memory is not what QEMU sends. */
    | 'guest-ram-differs'
    /** QEMU sends the difference from a record that was left out. */
    | 'withheld-base'
    /** What was given as QEMU's word on the VM's memory is not, or is of another VM. */
    | 'memory-map'
    /** The path on which to wait for QEMU is taken, or no socket can be made there. */
    | 'socket-path'
    /** QEMU closed its connection before the migration was over. */
    | 'qemu-closed'
    /** Something did not come within its limit. */
    | 'limit'
    /** QEMU sends pages on connections of their own. */
    | 'multifd'
    /** The target says more on the return path than QEMU takes. */
    | 'return-path'
    /** The target did not take the whole stream. */
    | 'target-failed';

  /** The destination engine cannot go on. */
  destination:
    /** The target QEMU cannot be reached, or closed its connection before it had everything. */
    | 'target-failed'
    /** The target's memory cannot be found or written: pages go through its stream. */
    | 'target-ram'
    /** The source let RAM end with pages pending. */
    | 'incomplete'
    /** The stream cannot be held until it is whole: more device state than there is room for. */
    | 'device-state'
    /** What the target is or does within a limit cannot be told. */
    | 'target-silent'
    /** QEMU ended as pre-copy what its target took for post-copy. */
    | 'no-postcopy'
    /** Something did not come within its limit. */
    | 'limit'
    /** The engine cannot listen. */
    | 'listen-failed';

  /** An early resume that broke cannot be brought to its end. */
  recovery:
    /** The file that says where the VM's memory is cannot be written or read. */
    | 'file'
    /** The QEMU of the source is gone, and with it the memory that is missing at the destination. */
    | 'vm-gone'
    /** The target is not the one that this VM was moved to. */
    | 'another-vm'
    /** Storage has not all that the target misses. */
    | 'incomplete'
    /** The VM was not moved, or has everything. */
    | 'not-needed'
    /** libvirt has the target's monitor, and was not to be stopped. */
    | 'libvirt-in-the-way'
    /** The target cannot be reached, or closed its connection before it had everything. */
    | 'target-failed'
    /** Something did not come within its limit. */
    | 'limit';

  /** The connection between the two engines failed. */
  wire:
    /** Bytes that no engine of this version sends. */
    | 'malformed'
    /** A frame longer than its type allows. */
    | 'too-long'
    /** Bytes were changed on their way. */
    | 'corrupt'
    /** The other end is not the engine that it should be: it has another key, or no certificate that holds here. */
    | 'not-authenticated'
    /** The other engine speaks another version, or is of another VM or another page size. */
    | 'incompatible'
    /** Nothing was heard from the other engine for too long. */
    | 'timeout'
    /** The connection ended before the migration did. */
    | 'closed'
    /** The other engine gave up; the message is its reason. */
    | 'peer-aborted';

  /** The key that both engines have cannot be used, or not made. */
  key: 'key';

  /** Shared storage cannot be read. */
  storage:
    /** It cannot be opened, or is no file and no block device. */
    | 'cannot-open'
    /** A path that leads out of the folder it must stay in. */
    | 'outside'
    | 'read-failed'
    /** It has not answered a read within the limit. */
    | 'no-answer'
    /** It did not answer an earlier one. */
    | 'given-up'
    /** The NBD server, or qemu-storage-daemon behind it, does not do what is needed. */
    | 'nbd'
    /** One list names more than a destination opens. */
    | 'too-many'
    /** A disk's image, or one behind it, is of a format that is not read. */
    | 'unsupported-image'
    /** A place that cannot be understood, or that several disks of the list could be meant by. */
    | 'invalid-place';

  /** Failure of the stream codec. */
  stream:
    /** The stream cannot be filtered, and passing it through is no longer or not at all wanted; `reason` says why. */
    | 'unsupported'
    /** The stream ended in its middle. */
    | 'truncated'
    /** A page was to be injected where the format has no place for one. */
    | 'not-injectable'
    /** It is of another VM than the engine was told. */
    | 'another-vm'
    /** A message of the return path that no QEMU sends. */
    | 'return-path';

  /** A page list that cannot be read or written. */
  'page-list': 'malformed' | 'too-large' | 'unsupported-version' | 'unsorted';

  /** A request to the guest agent that failed. The agent's own errors are in guest/agent/guest-error.ts. */
  agent:
    /** Nothing listens on the socket. */
    | 'no-socket'
    /** QEMU took the request, but nobody in the guest answered. */
    | 'no-agent'
    /** The agent answered that it cannot; the message says why. */
    | 'refused'
    /** The agent began, but the answer did not come in time. */
    | 'timeout'
    /** The answer is longer than allowed, or not an answer. */
    | 'invalid-answer'
    /** QEMU closed the socket before the answer was complete. */
    | 'closed'
    | 'aborted';

  /** A measured run that cannot be compared with its prediction. */
  prediction: 'unusable-run';

  /** What must work before anything is installed. */
  'set-up':
    /** Debian packages are missing, and only root can install them. */
    | 'not-root'
    | 'not-debian'
    /** apt-get failed; the message has its last lines. */
    | 'install-failed'
    /** A lock could not be taken for another reason than that somebody holds it. */
    | 'lock-failed'
    /** What was to be prepared threw (see `cause`). */
    | 'build-failed';

  'guest-image':
    /** A tool of the build ended with an error: its last lines are in the message, the whole in `cause`. */
    | 'command-failed'
    /** Images are x86-64 and are made by running their programs here. */
    | 'unsupported-machine'
    /** A number of tables or rows that makes no image. */
    | 'bad-parameter'
    /** A build step left out something that the next one needs. */
    | 'incomplete';
}

export type ErrorArea = keyof ErrorCodes;
