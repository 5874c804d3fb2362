//! The engine trait: what the executive asks of a processor, and why guest code stops.
//!
//! Key types: [`Engine`], [`Exit`], [`Clock`]. Neighbours: [`crate::Interpreter`] implements it, [`crate::CpuState`]
//! is what runs. Delivery of interrupts and exceptions is not the engine's: it reports them, and the executive acts.

use guest_mem::{GuestRam, Va};

use crate::state::CpuState;

/// Vector numbers of the exceptions that [`Exit::Exception`] carries.
pub mod vector {
    /// Divide error, #DE.
    pub const DIVIDE: u8 = 0;
    /// Debug exception, #DB.
    pub const DEBUG: u8 = 1;
    /// Breakpoint (int3), #BP.
    pub const BREAKPOINT: u8 = 3;
    /// Overflow (INTO), #OF.
    pub const OVERFLOW: u8 = 4;
    /// Invalid opcode, #UD.
    pub const INVALID_OPCODE: u8 = 6;
    /// Segment not present, #NP.
    pub const NOT_PRESENT: u8 = 11;
    /// Stack-segment fault, #SS.
    pub const STACK: u8 = 12;
    /// General protection, #GP.
    pub const PROTECTION: u8 = 13;
    /// Page fault, #PF.
    pub const PAGE_FAULT: u8 = 14;
    /// x87 error, #MF.
    pub const X87: u8 = 16;
    /// Alignment check, #AC.
    pub const ALIGNMENT: u8 = 17;
    /// SIMD floating-point error, #XM.
    pub const SIMD: u8 = 19;
}

/// Why [`Engine::run`] came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// The fuel is used up.
    Fuel,
    /// SYSCALL: RIP is after it, RCX holds the same address and R11 holds RFLAGS. CPL is not changed.
    Syscall,
    /// SYSENTER: RIP is after it, nothing else is changed.
    Sysenter,
    /// A software interrupt: INT n, INT3, INT1 or INTO. RIP is after it.
    Interrupt {
        /// The interrupt number.
        vector: u8,
        /// The length of the instruction, so that its address can be had.
        len: u8,
    },
    /// A fault: RIP is at the instruction and the state is as before it, except that a repeated string instruction
    /// keeps its progress. A single-step trap (vector 1, DR6.BS set) is reported with RIP at the next instruction.
    Exception {
        /// See [`vector`]. For a page fault the address is in CR2.
        vector: u8,
        /// The error code, zero for exceptions that have none.
        error_code: u32,
    },
    /// HLT at CPL 0; RIP is after it.
    Halt,
    /// Port input or output that is allowed (CPL 0, or IOPL 3). RIP is after it.
    ///
    /// For input the executive stores `size` bytes in AL, AX or EAX; for output `value` is what was written.
    /// String forms come one element at a time through memory and are refused as #UD for now.
    Port {
        /// The port number.
        port: u16,
        /// 1, 2 or 4 bytes.
        size: u8,
        /// True for IN.
        input: bool,
        /// The value of an OUT.
        value: u32,
    },
}

impl Exit {
    /// A fault without an error code.
    pub(crate) const fn fault(vector: u8) -> Self {
        Exit::Exception { vector, error_code: 0 }
    }
}

/// The time stamp counter.
pub trait Clock {
    /// The counter's value after `instructions` retired instructions of this engine.
    fn tsc(&self, instructions: u64) -> u64;
}

/// A processor that runs guest code.
pub trait Engine {
    /// Runs guest code until something needs the executive, at most about `fuel` instructions.
    ///
    /// Fuel is checked at block ends; the number of instructions run is deterministic.
    fn run(&mut self, cpu: &mut CpuState, ram: &GuestRam, clock: &dyn Clock, fuel: u64) -> Exit;

    /// Forgets all translations: any page table may have changed.
    fn flush_tlb(&mut self);

    /// Forgets the translation of one page, in all address spaces.
    ///
    /// Needed when a present entry changes; a fault is not remembered, so filling an empty entry needs no call.
    fn invalidate_page(&mut self, va: Va);

    /// Instructions retired so far.
    fn instructions(&self) -> u64;
}
