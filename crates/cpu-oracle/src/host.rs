//! [`HostCpu`]: the host's processor, running cases in a confined child process.
//!
//! Batches travel through shared memory (`ring.rs`); the child (`child.rs`) may run one batch while the
//! caller works on another. A child that dies is replaced, and the case that killed it reads
//! [`crate::Ending::Crashed`].

use std::io;
use std::ptr;
use std::sync::atomic::Ordering;

use crate::case::{Case, Outcome};
use crate::child;
use crate::layout::SPACE;
use crate::ring::{BATCH, Ring};

/// The host's processor.
pub struct HostCpu {
    ring: *mut Ring,
    child: libc::pid_t,
    crashes: u64,
}

// SAFETY: the mapping is owned, and every access to it goes through `&mut self`.
unsafe impl Send for HostCpu {}

impl HostCpu {
    /// Starts a runner process. Memory starts as zeros: see [`HostCpu::set_background`].
    pub fn start() -> io::Result<Self> {
        // SAFETY: a fresh anonymous shared mapping; zeros are a valid Ring.
        let ring = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<Ring>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if ring == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut host = Self { ring: ring.cast(), child: 0, crashes: 0 };
        host.fork()?;
        Ok(host)
    }

    fn fork(&mut self) -> io::Result<()> {
        // SAFETY: the child uses async-signal-safe functions only and never returns.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: this is the fresh child, and the ring is mapped in it.
            0 => unsafe { child::run(self.ring) },
            child => {
                self.child = child;
                Ok(())
            }
        }
    }

    /// Sets what memory holds before a case's own bytes.
    ///
    /// # Panics
    /// If the length is not [`SPACE`].
    pub fn set_background(&mut self, background: &[u8]) {
        assert_eq!(background.len(), SPACE, "a background covers the whole space");
        // SAFETY: the child reads it only while a batch runs, and none does while `&mut self` is free to be here:
        // `submit` and `collect` are paired by `Pending`.
        unsafe {
            ptr::copy_nonoverlapping(
                background.as_ptr(),
                ptr::addr_of_mut!((*self.ring).background).cast(),
                SPACE,
            );
            (*self.ring).epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// Hands a batch of at most [`BATCH`] cases to the runner.
    ///
    /// # Panics
    /// If the batch is too long.
    pub fn submit(&mut self, cases: &[Case]) -> Pending<'_> {
        assert!(cases.len() <= BATCH, "a batch has at most {BATCH} cases");
        // SAFETY: the runner is idle, so the ring's cases and outcomes belong to this side until `request` is raised.
        unsafe {
            let to = ptr::addr_of_mut!((*self.ring).cases).cast::<Case>();
            ptr::copy_nonoverlapping(cases.as_ptr(), to, cases.len());
            let outcomes = ptr::addr_of_mut!((*self.ring).outcomes).cast::<Outcome>();
            for index in 0..cases.len() {
                (*outcomes.add(index)).set_ending(crate::case::Ending::Crashed);
            }
            (*self.ring).first.store(0, Ordering::Release);
            (*self.ring).progress.store(0, Ordering::Release);
            (*self.ring).count.store(cases.len() as u32, Ordering::Release);
            (*self.ring).request.fetch_add(1, Ordering::Release);
            let word: *const u32 = (*self.ring).request.as_ptr();
            libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1);
        }
        Pending { host: self, count: cases.len() }
    }

    /// Runs a batch of at most [`BATCH`] cases.
    pub fn run(&mut self, cases: &[Case]) -> io::Result<Vec<Outcome>> {
        self.submit(cases).collect()
    }

    /// Runs one case.
    pub fn run_one(&mut self, case: &Case) -> io::Result<Outcome> {
        Ok(self.run(std::slice::from_ref(case))?.first().copied().unwrap_or_else(Outcome::none))
    }

    /// Runner processes that died so far.
    pub fn crashes(&self) -> u64 {
        self.crashes
    }

    /// Waits for the runner to finish the batch, replacing it when it dies.
    fn wait(&mut self) -> io::Result<()> {
        loop {
            // SAFETY: the ring is mapped; atomics only.
            unsafe {
                let request = (*self.ring).request.load(Ordering::Acquire);
                let done = (*self.ring).done.load(Ordering::Acquire);
                if done == request {
                    return Ok(());
                }
                let timeout = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                let word: *const u32 = (*self.ring).done.as_ptr();
                libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, done, &timeout);
            }
            self.revive()?;
        }
    }

    /// Starts a new runner behind the case that killed the last one, if it is dead.
    fn revive(&mut self) -> io::Result<()> {
        let mut status = 0;
        // SAFETY: waits for our own child.
        if unsafe { libc::waitpid(self.child, &mut status, libc::WNOHANG) } != self.child {
            return Ok(());
        }
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == child::SETUP_FAILED {
            self.child = 0;
            return Err(io::Error::other("the runner process cannot map its memory"));
        }
        self.crashes += 1;
        // SAFETY: the child is dead, so the ring is this side's.
        unsafe {
            let at = (*self.ring).progress.load(Ordering::Acquire);
            (*self.ring).first.store(at + 1, Ordering::Release);
            if let Some(outcome) = (&raw mut (*self.ring).outcomes[at as usize % BATCH]).as_mut() {
                outcome.set_ending(crate::case::Ending::Crashed);
            }
        }
        self.fork()
    }
}

impl Drop for HostCpu {
    fn drop(&mut self) {
        // SAFETY: ends our own child, then unmaps what we mapped.
        unsafe {
            if self.child > 0 {
                libc::kill(self.child, libc::SIGKILL);
                libc::waitpid(self.child, ptr::null_mut(), 0);
            }
            libc::munmap(self.ring.cast(), size_of::<Ring>());
        }
    }
}

/// A batch that the runner works on.
#[must_use = "the runner is busy until its batch is collected"]
pub struct Pending<'a> {
    host: &'a mut HostCpu,
    count: usize,
}

impl Pending<'_> {
    /// Waits for the outcomes, in the order of the cases.
    pub fn collect(self) -> io::Result<Vec<Outcome>> {
        self.host.wait()?;
        // SAFETY: the runner is idle, so the outcomes belong to this side; they are valid for any bytes.
        let outcomes = unsafe {
            let from = ptr::addr_of!((*self.host.ring).outcomes).cast::<Outcome>();
            std::slice::from_raw_parts(from, self.count)
        };
        Ok(outcomes.to_vec())
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        // A batch that is not collected must still be over before the ring is written again.
        let _ = self.host.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Ending, Mode, State};
    use crate::layout::{CODE, DATA, EXIT, PAGE, READ_ONLY, STACK};

    fn run(code: &[u8], set: impl FnOnce(&mut State)) -> Outcome {
        let mut state = State::new();
        set(&mut state);
        HostCpu::start().unwrap().run_one(&Case::new(state, code)).unwrap()
    }

    fn fault(outcome: &Outcome) -> (u8, u32, u64) {
        match outcome.ending() {
            Ending::Fault { vector, error_code, address } => (vector, error_code, address),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_addition_gives_sum_and_flags() {
        // add rax, rcx
        let outcome = run(&[0x48, 0x01, 0xC8], |s| {
            s.gpr[0] = u64::MAX;
            s.gpr[1] = 1;
        });
        assert_eq!(outcome.ending(), Ending::Finished);
        assert_eq!((outcome.state.gpr[0], outcome.state.rip), (0, EXIT));
        assert_eq!(outcome.state.rflags & 0x8D5, 0x55);
    }

    #[test]
    fn all_registers_pass_through() {
        let outcome = run(&[0x90], |s| {
            for (n, gpr) in s.gpr.iter_mut().enumerate() {
                *gpr = 0x1111_1111_1111_1111 * n as u64;
            }
            for n in 0..16 {
                s.set_xmm(n, n as u128 * 0x0101_0101_0101_0101_0101_0101_0101_0101);
            }
            s.set_mxcsr(0x7FBF);
            s.set_fcw(0x0C7F);
            s.set_ftw(0xFF);
            for n in 0..8 {
                s.set_st(n, (1 << 63 | n as u64, 0x3FFF + n as u16));
            }
            s.rflags = 0xAD7;
        });
        for n in 0..16 {
            assert_eq!(outcome.state.gpr[n], 0x1111_1111_1111_1111 * n as u64);
            assert_eq!(outcome.state.xmm(n), n as u128 * 0x0101_0101_0101_0101_0101_0101_0101_0101);
        }
        assert_eq!((outcome.state.mxcsr(), outcome.state.fcw()), (0x7FBF, 0x0C7F));
        assert_eq!(outcome.state.st(5), (1 << 63 | 5, 0x4004));
        assert_eq!(outcome.state.rflags & 0xED5, 0xAD5 & 0xED5);
    }

    #[test]
    fn a_division_by_zero_faults_with_all_registers() {
        // div ecx
        let outcome = run(&[0xF7, 0xF1], |s| {
            s.gpr[0] = 7;
            s.gpr[1] = 0;
            s.gpr[15] = 99;
            s.set_xmm(7, 77);
            s.set_st(0, (1 << 63, 0x3FFF));
            s.set_ftw(1);
        });
        assert_eq!(fault(&outcome), (0, 0, 0));
        assert_eq!((outcome.state.rip, outcome.state.gpr[15]), (CODE, 99));
        assert_eq!((outcome.state.xmm(7), outcome.state.st(0)), (77, (1 << 63, 0x3FFF)));
    }

    #[test]
    fn page_faults_tell_address_and_error_code() {
        // mov [rax], rcx
        let store = [0x48, 0x89, 0x08];
        let read_only = run(&store, |s| s.gpr[0] = READ_ONLY - 4);
        assert_eq!(fault(&read_only), (14, 7, READ_ONLY));
        let absent = run(&store, |s| s.gpr[0] = DATA - 8);
        assert_eq!(fault(&absent), (14, 6, DATA - 8));
        let wild = run(&store, |s| s.gpr[0] = 1 << 63);
        assert_eq!(fault(&wild), (13, 0, 0));
        // push through a stack pointer that is not canonical
        let stack = run(&[0x50], |s| s.gpr[4] = 1 << 63);
        assert_eq!(fault(&stack), (12, 0, 0));
        let fetch = run(&[0xC3], |s| s.gpr[4] = STACK);
        assert_eq!(fault(&fetch), (14, 0x14, 0));
        let end = run(&[0x90; 20], |s| s.rip = CODE + 2 * PAGE - 2);
        assert_eq!(fault(&end), (14, 0x14, CODE + 2 * PAGE));
    }

    #[test]
    fn memory_is_reported_and_put_back() {
        let mut host = HostCpu::start().unwrap();
        let background: Vec<u8> = (0..SPACE).map(|n| n as u8).collect();
        host.set_background(&background);
        // mov eax, [rcx] ; mov [rcx + 0x10], rdx
        let mut state = State::new();
        state.gpr[1] = DATA;
        state.gpr[2] = 0x1234;
        let mut case = Case::new(state, &[0x8B, 0x01, 0x48, 0x89, 0x51, 0x10]);
        assert!(case.poke(2, u64::MAX));
        for _ in 0..2 {
            let outcome = host.run_one(&case).unwrap();
            assert_eq!(outcome.state.gpr[0], 0xFFFF_0100);
            assert_eq!(outcome.changes().len(), 3);
            assert_eq!(outcome.changes()[2].value, 0x1234);
        }
        case.poke_count = 0;
        let outcome = host.run_one(&case).unwrap();
        assert_eq!(outcome.state.gpr[0], 0x0302_0100);
        assert_eq!(outcome.changes().len(), 1);
    }

    #[test]
    fn code_of_32_bits_runs_faults_and_comes_back() {
        let mut host = HostCpu::start().unwrap();
        let mut state = State::new();
        state.gpr[0] = 0xFFFF_FFFF;
        state.set_xmm(7, 7);
        // inc eax, which is a prefix in 64-bit code
        let inc = Case::with_mode(state, &[0x40], Mode::Compatibility);
        // mov eax, [0]
        let load = Case::with_mode(state, &[0xA1, 0, 0, 0, 0], Mode::Compatibility);
        let outcomes = host.run(&[inc, load, inc]).unwrap();
        for outcome in [outcomes[0], outcomes[2]] {
            assert_eq!(outcome.ending(), Ending::Finished);
            assert_eq!((outcome.state.gpr[0], outcome.state.rflags & 0x8D5), (0, 0x54));
            assert_eq!((outcome.state.rip, outcome.state.xmm(7)), (Mode::Compatibility.exit(), 7));
        }
        assert_eq!(fault(&outcomes[1]), (14, 4, 0));
        assert_eq!(outcomes[1].state.rip, CODE);
    }

    #[test]
    fn single_step_and_breakpoint_are_told() {
        let outcome = run(&[0xCC], |_| ());
        assert_eq!((fault(&outcome), outcome.state.rip), ((3, 0, 0), CODE + 1));
        // popfq ; nop
        let mut host = HostCpu::start().unwrap();
        let mut case = Case::new(State::new(), &[0x9D, 0x90]);
        assert!(case.poke(crate::layout::STACK_OFFSET + 0x800, 0x302));
        let outcome = host.run_one(&case).unwrap();
        assert_eq!((fault(&outcome), outcome.state.rip), ((1, 0, 0), CODE + 2));
    }

    #[test]
    fn endless_code_is_stopped_and_system_calls_are_refused() {
        assert_eq!(run(&[0xEB, 0xFE], |_| ()).ending(), Ending::Timeout);
        let call = run(&[0x0F, 0x05], |s| s.gpr[0] = libc::SYS_getpid as u64);
        assert_eq!(call.ending(), Ending::SystemCall);
        assert_eq!(call.state.gpr[1], CODE + 2);
    }

    #[test]
    fn a_runner_that_dies_is_replaced() {
        let mut host = HostCpu::start().unwrap();
        let good = Case::new(State::new(), &[0x90]);
        let mut state = State::new();
        state.gpr[0] = libc::SYS_exit_group as u64;
        let bad = Case::new(state, &[0x0F, 0x05]);
        let outcomes = host.run(&[good, bad, good]).unwrap();
        let endings: Vec<_> = outcomes.iter().map(Outcome::ending).collect();
        assert_eq!(endings, [Ending::Finished, Ending::Crashed, Ending::Finished]);
        assert_eq!(host.crashes(), 1);
    }

    #[test]
    fn segment_bases_are_loaded_and_the_alignment_flag_does_not_spread() {
        // mov rax, gs:[8]
        let outcome = run(&[0x65, 0x48, 0x8B, 0x04, 0x25, 8, 0, 0, 0], |s| {
            s.gs_base = DATA;
            s.rflags |= 1 << 18;
        });
        assert_eq!(outcome.ending(), Ending::Finished);
        assert_eq!(outcome.state.gs_base, DATA);
        let outcome = run(&[0x8B, 0x01], |s| {
            s.gpr[1] = DATA + 1;
            s.rflags |= 1 << 18;
        });
        assert_eq!(fault(&outcome), (17, 0, 0));
    }
}
