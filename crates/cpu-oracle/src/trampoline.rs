//! The way into a case's code and back: loads every register, jumps, stores every register.
//!
//! The runner's control block lies at a fixed address below 2 GiB, so that it can be reached without a register. Only
//! the forked runner ([`crate::child`]) maps it and calls in here. Sources: Intel SDM volume 2 (FXRSTOR64, WRFSBASE).

use std::arch::naked_asm;

use crate::case::State;
use crate::layout::EXIT;

/// The control block of a runner process.
#[repr(C, align(64))]
pub(crate) struct Control {
    /// What the code starts from.
    pub input: State,
    /// What the code left, when it reached the exit.
    pub output: State,
    /// The runner's own stack pointer while code runs.
    pub host_rsp: u64,
    /// The runner's own FS base.
    pub host_fs: u64,
    /// Where [`enter`] jumps: to the code, or to [`far_jump`].
    pub first_jump: u64,
    /// Where [`far_jump`] jumps: an offset and a selector.
    pub far_pointer: [u32; 2],
    /// Nonzero when RDFSBASE and friends are usable.
    pub fsgsbase: u64,
    /// MXCSR for the runner's own code.
    pub host_mxcsr: u64,
    /// Nonzero while the code of a case may be running.
    pub in_guest: u64,
    /// Where a fault is recorded.
    pub outcome: u64,
    /// The case that the last timer tick interrupted.
    pub ticked_case: u64,
    /// The case that runs.
    pub current_case: u64,
    /// A stack for the flags.
    pub stack: [u64; 64],
}

/// Address of the control block.
pub(crate) const CONTROL: usize = 0x6D3A_2000;

const INPUT: usize = CONTROL + std::mem::offset_of!(Control, input);
const OUTPUT: usize = CONTROL + std::mem::offset_of!(Control, output);
const STACK_TOP: usize = CONTROL + std::mem::offset_of!(Control, stack) + 512;
const HOST_RSP: usize = CONTROL + std::mem::offset_of!(Control, host_rsp);
const HOST_FS: usize = CONTROL + std::mem::offset_of!(Control, host_fs);
const FIRST_JUMP: usize = CONTROL + std::mem::offset_of!(Control, first_jump);
const FAR_POINTER: usize = CONTROL + std::mem::offset_of!(Control, far_pointer);
const FSGSBASE: usize = CONTROL + std::mem::offset_of!(Control, fsgsbase);
const HOST_MXCSR: usize = CONTROL + std::mem::offset_of!(Control, host_mxcsr);

const GPR: usize = std::mem::offset_of!(State, gpr);
const RFLAGS: usize = std::mem::offset_of!(State, rflags);
const FS: usize = std::mem::offset_of!(State, fs_base);
const GS: usize = std::mem::offset_of!(State, gs_base);

/// Runs the code that the control block describes; returns 0 when it reached the exit, 1 after [`leave`].
///
/// # Safety
/// The control block must be mapped and filled, the exit page must lead to [`exit`], and signals that the code may
/// raise must be handled on another stack.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter() -> u64 {
    naked_asm!(
        "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
        "mov qword ptr ds:[{host_rsp}], rsp",
        "cmp qword ptr ds:[{fsgsbase}], 0",
        "je 2f",
        "rdfsbase rax",
        "mov qword ptr ds:[{host_fs}], rax",
        "mov rax, qword ptr ds:[{input} + {fs}]",
        "wrfsbase rax",
        "mov rax, qword ptr ds:[{input} + {gs}]",
        "wrgsbase rax",
        "2:",
        "fxrstor64 [{input}]",
        "mov rsp, {stack_top}",
        "push qword ptr ds:[{input} + {rflags}]",
        "popfq",
        "mov rax, qword ptr ds:[{input} + {gpr}]",
        "mov rcx, qword ptr ds:[{input} + {gpr} + 8]",
        "mov rdx, qword ptr ds:[{input} + {gpr} + 16]",
        "mov rbx, qword ptr ds:[{input} + {gpr} + 24]",
        "mov rsp, qword ptr ds:[{input} + {gpr} + 32]",
        "mov rbp, qword ptr ds:[{input} + {gpr} + 40]",
        "mov rsi, qword ptr ds:[{input} + {gpr} + 48]",
        "mov rdi, qword ptr ds:[{input} + {gpr} + 56]",
        "mov r8, qword ptr ds:[{input} + {gpr} + 64]",
        "mov r9, qword ptr ds:[{input} + {gpr} + 72]",
        "mov r10, qword ptr ds:[{input} + {gpr} + 80]",
        "mov r11, qword ptr ds:[{input} + {gpr} + 88]",
        "mov r12, qword ptr ds:[{input} + {gpr} + 96]",
        "mov r13, qword ptr ds:[{input} + {gpr} + 104]",
        "mov r14, qword ptr ds:[{input} + {gpr} + 112]",
        "mov r15, qword ptr ds:[{input} + {gpr} + 120]",
        "jmp qword ptr ds:[{first_jump}]",
        host_rsp = const HOST_RSP, host_fs = const HOST_FS, fsgsbase = const FSGSBASE,
        input = const INPUT, fs = const FS, gs = const GS, stack_top = const STACK_TOP,
        rflags = const RFLAGS, gpr = const GPR, first_jump = const FIRST_JUMP,
    )
}

/// Goes on in 32-bit code. Reached from [`enter`] with every register loaded.
///
/// # Safety
/// Only jumped to from [`enter`], with the far pointer filled.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn far_jump() {
    // jmp fword ptr [disp32]
    naked_asm!(".byte 0xFF, 0x2C, 0x25", ".long {far}", far = const FAR_POINTER)
}

/// The kernel's selector of 32-bit user code.
pub(crate) const USER_CODE_32: u32 = 0x23;

/// Where the exit page leads: stores every register and returns 0 from [`enter`].
///
/// # Safety
/// Only jumped to from code that [`enter`] started.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn exit() {
    naked_asm!(
        "mov qword ptr ds:[{output} + {gpr}], rax",
        "mov qword ptr ds:[{output} + {gpr} + 8], rcx",
        "mov qword ptr ds:[{output} + {gpr} + 16], rdx",
        "mov qword ptr ds:[{output} + {gpr} + 24], rbx",
        "mov qword ptr ds:[{output} + {gpr} + 32], rsp",
        "mov qword ptr ds:[{output} + {gpr} + 40], rbp",
        "mov qword ptr ds:[{output} + {gpr} + 48], rsi",
        "mov qword ptr ds:[{output} + {gpr} + 56], rdi",
        "mov qword ptr ds:[{output} + {gpr} + 64], r8",
        "mov qword ptr ds:[{output} + {gpr} + 72], r9",
        "mov qword ptr ds:[{output} + {gpr} + 80], r10",
        "mov qword ptr ds:[{output} + {gpr} + 88], r11",
        "mov qword ptr ds:[{output} + {gpr} + 96], r12",
        "mov qword ptr ds:[{output} + {gpr} + 104], r13",
        "mov qword ptr ds:[{output} + {gpr} + 112], r14",
        "mov qword ptr ds:[{output} + {gpr} + 120], r15",
        "mov rsp, {stack_top}",
        "pushfq",
        "pop qword ptr ds:[{output} + {rflags}]",
        // The code may have left AC, DF or NT set.
        "push 0x202",
        "popfq",
        "fxsave64 [{output}]",
        "cmp qword ptr ds:[{fsgsbase}], 0",
        "je 2f",
        "rdfsbase rax",
        "mov qword ptr ds:[{output} + {fs}], rax",
        "rdgsbase rax",
        "mov qword ptr ds:[{output} + {gs}], rax",
        "2:",
        "xor eax, eax",
        "jmp {leave}",
        output = const OUTPUT, gpr = const GPR, stack_top = const STACK_TOP, rflags = const RFLAGS,
        fsgsbase = const FSGSBASE, fs = const FS, gs = const GS, leave = sym leave_with,
    )
}

/// Abandons the running code: [`enter`] returns 1. For use in the signal handler.
///
/// # Safety
/// Only while [`enter`] has not returned. Nothing on the current stack is unwound.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave() -> ! {
    naked_asm!("mov eax, 1", "jmp {leave}", leave = sym leave_with)
}

/// Restores the runner's own registers and returns RAX from [`enter`].
#[unsafe(naked)]
unsafe extern "C" fn leave_with() {
    naked_asm!(
        "cmp qword ptr ds:[{fsgsbase}], 0",
        "je 2f",
        "mov rcx, qword ptr ds:[{host_fs}]",
        "wrfsbase rcx",
        "2:",
        "fninit",
        "ldmxcsr dword ptr ds:[{host_mxcsr}]",
        "mov rsp, qword ptr ds:[{host_rsp}]",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
        "ret",
        fsgsbase = const FSGSBASE, host_fs = const HOST_FS, host_mxcsr = const HOST_MXCSR,
        host_rsp = const HOST_RSP,
    )
}

/// The signal handler's entry: code may have set AC, which the kernel leaves as it is.
///
/// # Safety
/// Called by the kernel only.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn signal_entry() {
    naked_asm!(
        "pushfq",
        "and qword ptr [rsp], 0xFFFFFFFFFFFBFFFF",
        "popfq",
        "jmp {handler}",
        handler = sym crate::child::on_signal,
    )
}

/// What the exit page starts with: a jump to [`exit`], the address aligned, since the code may have set AC; then the
/// way there from 32-bit code.
pub(crate) fn exit_page() -> [u8; 23] {
    // jmp [rip + 2]
    let mut bytes = [0; 23];
    bytes[..6].copy_from_slice(&[0xFF, 0x25, 2, 0, 0, 0]);
    bytes[8..16].copy_from_slice(&exit_address().to_le_bytes());
    // jmp 33h:EXIT
    bytes[16] = 0xEA;
    bytes[17..21].copy_from_slice(&(EXIT as u32).to_le_bytes());
    bytes[21] = 0x33;
    bytes
}

/// The address of [`exit`], the same in the parent and the forked child.
pub(crate) fn exit_address() -> u64 {
    exit as *const () as u64
}
