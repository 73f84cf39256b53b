//! Which calls to the kernel a program in the cage may not make.
//!
//! The filter lists what is refused, not what is allowed: what `qemu-img` and the C library call changes with each version,
//! and a conversion that fails on the next one would be switched off, cage and all. What is refused answers "no such call",
//! since the C library then takes the older way it knows (as from `clone3`, whose flags can't be looked at, to `clone`).
//!
//! The bounds on memory and time are each process's own, so a second one is refused. Those on a file's length are asked by
//! most calls that make files longer; refused are the few by which a file takes room without becoming longer, and by which
//! memory is kept that no process has in its own.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;

/// What no converter needs: a way out, other programs, the kernel's insides, memory beside its own, room that no length shows.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Its flags lie in memory, where a filter can't look.
    libc::SYS_clone3,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_quotactl,
    libc::SYS_nfsservctl,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
    libc::SYS_memfd_create,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    MEMFD_SECRET,
    SETXATTRAT,
];

/// Newer than the names of some machines; the numbers are the same on all.
const MEMFD_SECRET: libc::c_long = 447;
const SETXATTRAT: libc::c_long = 463;

/// Old calls under their other numbers, on the machines that have them.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_fork,
    libc::SYS_vfork,
    // x32's own numbers of ptrace, kexec_load and process_vm_*.
    521,
    528,
    539,
    540,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[libc::c_long] = &[];

/// Calls of the x32 machine, which a kernel of x86_64 may serve as well, have this bit on top.
#[cfg(target_arch = "x86_64")]
const OTHER_NUMBERS: &[libc::c_long] = &[0, 0x4000_0000];
#[cfg(not(target_arch = "x86_64"))]
const OTHER_NUMBERS: &[libc::c_long] = &[0];

/// Namespaces that `clone` could make.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// Ways to make holes and zeros in a file. All others give it room beyond its end, or move what it has there.
const OF_FALLOCATE: [libc::c_int; 3] =
    [0, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_ZERO_RANGE];

/// The call, and x32's own number of it.
#[cfg(target_arch = "x86_64")]
const IOCTL: &[libc::c_long] = &[libc::SYS_ioctl, 514];
#[cfg(not(target_arch = "x86_64"))]
const IOCTL: &[libc::c_long] = &[libc::SYS_ioctl];

/// What `ioctl` is asked for the same (FS_IOC_RESVSP, FS_IOC_RESVSP64, FS_IOC_ZERO_RANGE, FS_IOC_FSSETXATTR).
const OF_IOCTL: [u64; 4] = [0x4030_5828, 0x4030_582a, 0x4030_5839, 0x401c_5820];

/// The filter as the kernel reads it. Another machine's numbers of calls end the program.
pub fn program() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for &bit in OTHER_NUMBERS {
        for &call in REFUSED.iter().chain(REFUSED_HERE) {
            rules.insert(call | bit, Vec::new());
        }
        rules.insert(libc::SYS_clone | bit, clone_is_refused()?);
        rules.insert(libc::SYS_fallocate | bit, fallocate_is_refused()?);
        for &call in IOCTL {
            let refused = OF_IOCTL.map(|asked| rule(&[(1, SeccompCmpOp::Eq, asked)]));
            rules.insert(call | bit, refused.into_iter().collect::<Result<_, _>>()?);
        }
    }
    let refused = SeccompAction::Errno(libc::ENOSYS as u32);
    SeccompFilter::new(rules, SeccompAction::Allow, refused, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// For a namespace, and for what is no thread.
fn clone_is_refused() -> Result<Vec<SeccompRule>, BackendError> {
    let thread = libc::CLONE_THREAD as u64;
    let mut rules = vec![rule(&[(0, SeccompCmpOp::MaskedEq(thread), 0)])?];
    for flag in (0..31).map(|shift| 1_u64 << shift).filter(|flag| NAMESPACES as u64 & flag != 0) {
        rules.push(rule(&[(0, SeccompCmpOp::MaskedEq(flag), flag)])?);
    }
    Ok(rules)
}

fn fallocate_is_refused() -> Result<Vec<SeccompRule>, BackendError> {
    let is_none_of = OF_FALLOCATE.map(|mode| (1, SeccompCmpOp::Ne, mode as u64));
    Ok(vec![rule(&is_none_of)?])
}

/// Holds where all of it does: which argument, compared how, with what.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions
        .iter()
        .map(|(at, how, value)| SeccompCondition::new(*at, SeccompCmpArgLen::Dword, how.clone(), *value))
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}
