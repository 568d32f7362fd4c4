/**
 * Which system calls RuntimeDefault allows, by what they are for. What is not named is refused: keys (add_key, keyctl, request_key),
 * kexec, swap, io_uring, userfaultfd, pivot_root, and whatever a later kernel brings. Names that an architecture or the library that
 * builds the filter does not know count for nothing, in each of the runtimes (measured).
 */

import type { Capability } from "./capabilities.ts";

/** Processors that a profile can be made for. */
export type Architecture = "x86-64" | "arm64";

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** What any program may call. */
export const ALWAYS_ALLOWED: readonly (readonly string[])[] = [
  // Memory.
  words(`
    brk mmap mmap2 munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall mseal
    remap_file_pages memfd_create memfd_secret membarrier pkey_alloc pkey_free pkey_mprotect map_shadow_stack
  `),
  // Processes and threads: clone only with the flags below.
  words(`
    fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid getpgrp setpgid getsid
    setsid set_tid_address set_robust_list get_robust_list set_thread_area get_thread_area rseq restart_syscall prctl
    seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self pidfd_open pidfd_send_signal
    process_mrelease ptrace process_vm_readv process_vm_writev uname sysinfo getcpu getrandom
    lsm_get_self_attr lsm_set_self_attr lsm_list_modules
  `),
  // Who a process is; the kernel asks for SETUID, SETGID and SETPCAP where they are needed.
  words(`
    getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid getresgid32
    getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32
    setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capget capset umask
  `),
  // Signals.
  words(`
    kill tkill tgkill pause alarm sigaltstack sigprocmask sigreturn rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo signalfd signalfd4
  `),
  // Scheduling and limits.
  words(`
    sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
    sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval
    sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getrlimit setrlimit ugetrlimit prlimit64
    getrusage times
  `),
  // Time; setting it is refused by the kernel without SYS_TIME.
  words(`
    time gettimeofday adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 nanosleep getitimer setitimer timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64
  `),
  // Files that are open, and waiting for them.
  words(`
    read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek close close_range dup dup2
    dup3 pipe pipe2 fcntl fcntl64 flock ioctl fsync fdatasync sync syncfs sync_file_range fallocate fadvise64
    fadvise64_64 readahead cachestat sendfile sendfile64 splice tee vmsplice copy_file_range ftruncate ftruncate64
    select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 inotify_init inotify_init1 inotify_add_watch
    inotify_rm_watch fanotify_mark io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64
  `),
  // Paths and what they name.
  words(`
    open openat openat2 creat access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 newfstatat fstatat64
    statx statfs statfs64 fstatfs fstatfs64 getcwd chdir fchdir getdents getdents64 mkdir mkdirat rmdir mknod mknodat
    link linkat symlink symlinkat readlink readlinkat unlink unlinkat rename renameat renameat2 truncate truncate64
    chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 fchownat lchown lchown32 utime utimes futimesat
    utimensat utimensat_time64 name_to_handle_at getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr
    listxattrat setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat
    file_getattr file_setattr
  `),
  // Sockets; making one only of the families below.
  words(`
    socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt send sendto
    sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64
  `),
  // Between processes.
  words(`
    futex futex_time64 futex_waitv futex_wake futex_wait futex_requeue ipc msgget msgctl msgsnd msgrcv semget semctl
    semop semtimedop semtimedop_time64 shmget shmctl shmat shmdt mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend
    mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64
  `),
];

/** What one kind of processor has beside that. */
export const OF_ARCHITECTURE: Readonly<Record<Architecture, readonly string[]>> = {
  "x86-64": ["arch_prctl", "modify_ldt", "uretprobe"],
  arm64: words("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"),
};

/** The processor's own call convention first, then those of the 32-bit programs that it runs. */
export const ARCHITECTURES: Readonly<Record<Architecture, readonly string[]>> = {
  "x86-64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
};

/** What is allowed further to whoever has a capability: calls that the kernel guards by it, and nothing guards better. */
export const WITH_CAPABILITY: Readonly<Partial<Record<Capability, readonly string[]>>> = {
  CAP_DAC_READ_SEARCH: ["open_by_handle_at"],
  CAP_SYS_MODULE: ["init_module", "finit_module", "delete_module"],
  CAP_SYS_RAWIO: ["ioperm", "iopl"],
  CAP_SYS_CHROOT: ["chroot"],
  CAP_SYS_PTRACE: ["kcmp", "pidfd_getfd", "process_madvise"],
  CAP_SYS_PACCT: ["acct"],
  CAP_SYS_ADMIN: words(`
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie mount mount_setattr move_mount
    open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname setns statmount syslog umount umount2
    unshare
  `),
  CAP_SYS_BOOT: ["reboot"],
  CAP_SYS_NICE: ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
  CAP_SYS_TIME: ["settimeofday", "stime", "clock_settime", "clock_settime64"],
  CAP_SYS_TTY_CONFIG: ["vhangup"],
  CAP_SYSLOG: ["syslog"],
  CAP_PERFMON: ["perf_event_open"],
  CAP_BPF: ["bpf"],
};

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET; NEWTIME is none of clone's, whose lowest byte is a signal. */
export const NAMESPACE_FLAGS = 0x7e02_0000;

/** Linux, Linux with the addresses of a 3-GiB process, either without random addresses' "read implies exec", and: tell which it is. */
export const PERSONALITIES = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff] as const;

/**
 * Socket families above AF_ALG (38) that are allowed: all up to the kernel's last but AF_VSOCK (40), which reaches the host past every
 * network policy. AF_ALG is the kernel's crypto, which let its callers write to files of others (CVE-2026-31431). Each by its exact
 * number: the filter compares 64 bits and the kernel reads 32, so that "above 40" would let 2^32 + 38 through.
 */
export const LOWEST_REFUSED_FAMILY = 38;
export const FAMILIES_ABOVE = [39, 41, 42, 43, 44, 45] as const;
