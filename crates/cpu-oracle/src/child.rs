//! The forked runner: maps a case's memory at its fixed addresses, runs cases, records how they ended.
//!
//! After set-up the process makes no system call but `futex`, and a seccomp filter holds the code of cases to that:
//! any other call is a `SIGSYS`, which is recorded as an outcome. Only async-signal-safe functions are used, since the
//! parent may have had other threads. Neighbours: [`crate::trampoline`], [`crate::ring`]. Sources: signal(7),
//! seccomp(2), the kernel's `asm/ucontext.h`.

use std::arch::asm;
use std::ptr;
use std::sync::atomic::Ordering;

use libc::{c_int, c_void};

use crate::case::{Ending, MAX_CODE, Mode, Outcome};
use crate::layout::{self, CODE, CODE_LEN, EXIT, FILLER, PAGE, SPACE};
use crate::ring::{BATCH, Ring};
use crate::trampoline::{self, CONTROL, Control};

/// Exit status of a runner that could not set itself up.
pub(crate) const SETUP_FAILED: c_int = 71;
/// Exit status of a runner that faulted outside a case.
const STRAY_SIGNAL: c_int = 70;

const CODE_OFFSET: usize = SPACE;
const ARENA: usize = SPACE + CODE_LEN as usize;
const HANDLER_STACK: usize = 0x1_0000;
/// Processor time between ticks: a case that sees two is stopped.
const TICK_MICROSECONDS: i64 = 20_000;

/// `AT_HWCAP2` bit: RDFSBASE and friends are usable in user mode.
const HWCAP2_FSGSBASE: u64 = 2;

/// Runs batches for ever.
///
/// # Safety
/// Only in a freshly forked process; `ring` is the shared mapping.
pub(crate) unsafe fn run(ring: *mut Ring) -> ! {
    // SAFETY: the caller's promise.
    let writable = unsafe { set_up() };
    let Some(writable) = writable else {
        // SAFETY: ends this process.
        unsafe { libc::_exit(SETUP_FAILED) }
    };
    // SAFETY: `ring` is mapped for the life of the process, and `writable` has ARENA bytes.
    unsafe { serve(ring, writable) }
}

fn control() -> *mut Control {
    CONTROL as *mut Control
}

/// Maps arena, exit page and control block, installs handlers, timer and filter. Returns the writable alias.
///
/// # Safety
/// Only in a freshly forked process.
unsafe fn set_up() -> Option<*mut u8> {
    // SAFETY: plain system calls on fresh mappings; fixed addresses are refused when taken.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let fd = libc::memfd_create(c"case".as_ptr(), 0);
        if fd < 0 || libc::ftruncate(fd, ARENA as i64) != 0 {
            return None;
        }
        let (read, write, execute) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
        let writable = map(None, ARENA, read | write, fd, 0)?;
        map(Some(layout::DATA), 2 * PAGE as usize, read | write, fd, 0)?;
        map(Some(layout::READ_ONLY), PAGE as usize, read, fd, layout::READ_ONLY_OFFSET)?;
        map(Some(layout::STACK), PAGE as usize, read | write, fd, layout::STACK_OFFSET)?;
        // Writable, since a case may change its own code.
        map(Some(CODE), CODE_LEN as usize, read | write | execute, fd, CODE_OFFSET)?;
        ptr::write_bytes(writable.add(CODE_OFFSET), FILLER, CODE_LEN as usize);

        let exit = map(Some(EXIT), PAGE as usize, read | write, -1, 0)?;
        let jumps = trampoline::exit_page();
        ptr::copy_nonoverlapping(jumps.as_ptr(), exit, jumps.len());
        if libc::mprotect(exit.cast(), PAGE as usize, read | execute) != 0 {
            return None;
        }
        map(
            Some(CONTROL as u64),
            size_of::<Control>().next_multiple_of(4096),
            read | write,
            -1,
            0,
        )?;
        (*control()).host_mxcsr = 0x1F80;
        let fsgsbase = libc::getauxval(libc::AT_HWCAP2) & HWCAP2_FSGSBASE != 0;
        (*control()).fsgsbase = fsgsbase.into();

        let stack = map(None, HANDLER_STACK, read | write, -1, 0)?;
        let stack = libc::stack_t { ss_sp: stack.cast(), ss_flags: 0, ss_size: HANDLER_STACK };
        if libc::sigaltstack(&stack, ptr::null_mut()) != 0 {
            return None;
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = trampoline::signal_entry as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        use libc::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP, SIGVTALRM};
        for signal in [SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS, SIGSYS, SIGVTALRM] {
            if libc::sigaction(signal, &action, ptr::null_mut()) != 0 {
                return None;
            }
        }
        let mut open: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut open);
        libc::sigprocmask(libc::SIG_SETMASK, &open, ptr::null_mut());
        let every = libc::timeval { tv_sec: 0, tv_usec: TICK_MICROSECONDS };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        if libc::syscall(libc::SYS_setitimer, libc::ITIMER_VIRTUAL, &timer, ptr::null_mut::<u8>())
            != 0
            || !confine()
        {
            return None;
        }
        Some(writable)
    }
}

/// Maps memory: shared from `fd`, or private when `fd` is -1; at exactly `at` if given.
///
/// # Safety
/// As mmap(2); never replaces a mapping.
unsafe fn map(
    at: Option<u64>,
    len: usize,
    prot: c_int,
    fd: c_int,
    offset: usize,
) -> Option<*mut u8> {
    let flags = if fd < 0 { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS } else { libc::MAP_SHARED };
    let fixed = if at.is_some() { libc::MAP_FIXED_NOREPLACE } else { 0 };
    let hint = at.unwrap_or(0) as *mut c_void;
    // SAFETY: MAP_FIXED_NOREPLACE and hint-less mappings touch nothing that exists.
    let found = unsafe {
        libc::mmap(hint, len, prot, flags | fixed | libc::MAP_POPULATE, fd, offset as i64)
    };
    (found != libc::MAP_FAILED && (at.is_none() || found == hint)).then_some(found.cast())
}

/// Installs the seccomp filter: `futex`, `rt_sigreturn` and `exit_group` pass, all else raises `SIGSYS`.
fn confine() -> bool {
    const AUDIT_ARCH_X86_64: u32 = 0xC000_003E;
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let give = (libc::BPF_RET | libc::BPF_K) as u16;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // Offsets in struct seccomp_data: nr 0, arch 4.
    let mut filter = [
        op(load, 0, 0, 4),
        op(equal, 0, 4, AUDIT_ARCH_X86_64),
        op(load, 0, 0, 0),
        op(equal, 3, 0, libc::SYS_futex as u32),
        op(equal, 2, 0, libc::SYS_rt_sigreturn as u32),
        op(equal, 1, 0, libc::SYS_exit_group as u32),
        op(give, 0, 0, libc::SECCOMP_RET_TRAP),
        op(give, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program outlives the call.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    }
}

/// Takes batches from the ring and runs them.
///
/// # Safety
/// `ring` and `writable` (ARENA bytes) are mapped for ever.
unsafe fn serve(ring: *mut Ring, writable: *mut u8) -> ! {
    let mut epoch = 0;
    loop {
        // SAFETY: the atomics of the ring are shared with the parent; everything else in it belongs to this side
        // while `done` is behind `request`.
        unsafe {
            let done = (*ring).done.load(Ordering::Acquire);
            wait_while(&(*ring).request, done);
            let now = (*ring).epoch.load(Ordering::Acquire);
            if now != epoch {
                ptr::copy_nonoverlapping((*ring).background.as_ptr(), writable, SPACE);
                epoch = now;
            }
            let count = ((*ring).count.load(Ordering::Acquire) as usize).min(BATCH);
            let first = (*ring).first.load(Ordering::Acquire) as usize;
            for index in first..count {
                (*ring).progress.store(index as u32, Ordering::Release);
                run_case(ring, index, writable);
            }
            (*ring).done.store(done.wrapping_add(1), Ordering::Release);
            let word: *const u32 = (*ring).done.as_ptr();
            libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1);
        }
    }
}

/// Waits until the word is no longer `old`: a while spinning, then asleep.
///
/// # Safety
/// The word is mapped.
unsafe fn wait_while(word: &std::sync::atomic::AtomicU32, old: u32) {
    for _ in 0..200 {
        if word.load(Ordering::Acquire) != old {
            return;
        }
        std::hint::spin_loop();
    }
    while word.load(Ordering::Acquire) == old {
        let at: *const u32 = word.as_ptr();
        // SAFETY: waits on a mapped word.
        unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAIT, old, ptr::null::<u8>()) };
    }
}

/// Runs one case and puts memory back as it was.
///
/// # Safety
/// As [`serve`]; `index` is below [`BATCH`].
unsafe fn run_case(ring: *mut Ring, index: usize, writable: *mut u8) {
    // SAFETY: 1. pointers into ring and arena stay within them: poke offsets and the code's place are checked;
    // 2. the control block is mapped; 3. the case's code runs confined, and comes back through the exit page or the
    // signal handler.
    unsafe {
        let case = ptr::addr_of!((*ring).cases[index]);
        let outcome = ptr::addr_of_mut!((*ring).outcomes[index]);
        let background = ptr::addr_of!((*ring).background).cast::<u8>();
        let pokes = (*case).pokes();
        for poke in pokes {
            if poke.offset as usize <= SPACE - 8 {
                writable.add(poke.offset as usize).cast::<u64>().write_unaligned(poke.value);
            }
        }
        let code_at = ((*case).state.rip.wrapping_sub(CODE) as usize).min(CODE_LEN as usize);
        let code_len = ((*case).code_len as usize).min(MAX_CODE).min(CODE_LEN as usize - code_at);
        let code_to = writable.add(CODE_OFFSET + code_at);
        ptr::copy_nonoverlapping((*case).code.as_ptr(), code_to, code_len);

        let control = control();
        (*control).input = (*case).state;
        (*control).first_jump = match (*case).mode() {
            Mode::Long => (*case).state.rip,
            Mode::Compatibility => trampoline::far_jump as *const () as u64,
        };
        (*control).far_pointer = [(*case).state.rip as u32, trampoline::USER_CODE_32];
        (*control).outcome = outcome as u64;
        (*control).current_case = (*control).current_case.wrapping_add(1);
        ptr::addr_of_mut!((*control).in_guest).write_volatile(1);
        let abandoned = trampoline::enter();
        ptr::addr_of_mut!((*control).in_guest).write_volatile(0);
        restore_segments();
        if abandoned == 0 {
            (*outcome).state = ptr::addr_of!((*control).output).read_volatile();
            (*outcome).state.rip = (*case).mode().exit();
            if (*control).fsgsbase == 0 {
                (*outcome).state.fs_base = (*case).state.fs_base;
                (*outcome).state.gs_base = (*case).state.gs_base;
            }
            (*outcome).set_ending(Ending::Finished);
        }

        let memory = std::slice::from_raw_parts(writable, SPACE);
        let original = std::slice::from_raw_parts(background, SPACE);
        (*outcome).record_changes(memory, original);
        if (*outcome).change_count > crate::case::MAX_CHANGES as u64 {
            ptr::copy_nonoverlapping(background, writable, SPACE);
        } else {
            for change in (*outcome).changes() {
                let at = change.offset as usize;
                ptr::copy_nonoverlapping(background.add(at), writable.add(at), 8);
            }
            for poke in pokes {
                let at = (poke.offset as usize).min(SPACE - 8);
                ptr::copy_nonoverlapping(background.add(at), writable.add(at), 8);
            }
        }
        if (*case).rewrites_code == 0 {
            ptr::write_bytes(code_to, FILLER, code_len);
        } else {
            ptr::write_bytes(writable.add(CODE_OFFSET), FILLER, CODE_LEN as usize);
        }
    }
}

/// Gives DS and ES the flat selector that every case starts from.
fn restore_segments() {
    // SAFETY: 0x2B is the kernel's flat user data selector; in 64-bit mode the bases are zero anyway.
    unsafe {
        asm!(
            "mov {found:e}, ds", "cmp {found:e}, 0x2B", "je 2f", "mov ds, {flat:e}", "2:",
            "mov {found:e}, es", "cmp {found:e}, 0x2B", "je 2f", "mov es, {flat:e}", "2:",
            found = out(reg) _, flat = in(reg) 0x2Bu32, options(nomem, nostack)
        );
    }
}

/// Records the fault and abandons the case. Reached through [`trampoline::signal_entry`].
///
/// # Safety
/// Called as a signal handler with `SA_SIGINFO`.
pub(crate) unsafe extern "C" fn on_signal(
    signal: c_int,
    _info: *mut libc::siginfo_t,
    context: *mut libc::ucontext_t,
) {
    let control = control();
    // SAFETY: 1. the control block is mapped before handlers are installed; 2. the kernel passes a valid context;
    // 3. `outcome` points into the ring while `in_guest` is set. No thread-local variable is used, since the code may
    // have changed FS.
    unsafe {
        if ptr::addr_of!((*control).in_guest).read_volatile() == 0 {
            if signal == libc::SIGVTALRM {
                return;
            }
            asm!("syscall", in("rax") libc::SYS_exit_group, in("rdi") STRAY_SIGNAL, options(noreturn));
        }
        if signal == libc::SIGVTALRM && (*control).ticked_case != (*control).current_case {
            (*control).ticked_case = (*control).current_case;
            return;
        }
        ptr::addr_of_mut!((*control).in_guest).write_volatile(0);
        let outcome = (*control).outcome as *mut Outcome;
        let machine = ptr::addr_of!((*context).uc_mcontext);
        let register = |index: c_int| (*machine).gregs[index as usize] as u64;
        let state = ptr::addr_of_mut!((*outcome).state);
        use libc::{
            REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RAX, REG_RBP,
            REG_RBX, REG_RCX, REG_RDI, REG_RDX, REG_RSI, REG_RSP,
        };
        let order = [
            REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9,
            REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
        ];
        for (slot, index) in (*state).gpr.iter_mut().zip(order) {
            *slot = register(index);
        }
        (*state).rip = register(libc::REG_RIP);
        (*state).rflags = register(libc::REG_EFL);
        let fx = (*machine).fpregs.cast::<u8>();
        ptr::copy_nonoverlapping(fx, ptr::addr_of_mut!((*state).fx).cast(), 512);
        if (*control).fsgsbase == 0 {
            (*state).fs_base = (*control).input.fs_base;
            (*state).gs_base = (*control).input.gs_base;
        } else {
            let (fs, gs): (u64, u64);
            asm!("rdfsbase {0}", "rdgsbase {1}", out(reg) fs, out(reg) gs, options(nomem, nostack));
            (*state).fs_base = fs;
            (*state).gs_base = gs;
        }
        let vector = register(libc::REG_TRAPNO) as u8;
        let ending = match signal {
            libc::SIGSYS => Ending::SystemCall,
            libc::SIGVTALRM => Ending::Timeout,
            _ => Ending::Fault {
                vector,
                // The kernel leaves the last values there for exceptions that have none.
                error_code: if has_error_code(vector) { register(libc::REG_ERR) as u32 } else { 0 },
                address: if vector == 14 { register(libc::REG_CR2) } else { 0 },
            },
        };
        (*outcome).set_ending(ending);
        trampoline::leave()
    }
}

/// Whether the processor pushes an error code for the vector.
const fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17)
}
