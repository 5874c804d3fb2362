//! The x87 floating-point unit and the MMX registers that share its state.
//!
//! [`Fpu`] is the whole register state. The core decodes an instruction once with
//! [`x87_lookup`], and for each execution calls [`Fpu::execute`] with an [`Input`]: the
//! register number, the bytes of a memory source, RFLAGS. It gets back an [`Effect`]:
//! bytes to store, RFLAGS or AX to change. For instructions that store to memory the core
//! makes sure beforehand that the destination can be written, since the unit may pop.
//!
//! Exceptions are deferred as on the hardware: an unmasked one sets the summary bit, and
//! the next waiting instruction (or MMX instruction: [`Fpu::pending`]) raises #MF.
//!
//! Arithmetic, square roots, remainders and conversions are exact. Transcendental
//! functions are computed with about 120 bits and rounded once, so they are within one
//! unit in the last place of every processor's. Trigonometric arguments are reduced with
//! the hardware's 66-bit value of pi, exactly: `FSIN` of `FLDPI` is -2^-64, as on AMD and
//! Intel processors.
//!
//! Worked path, `FADD dword [mem]`: [`x87_lookup`] gives `Arithmetic(Add, Single, …)`; the
//! core reads four bytes; `execute` finds ST0 (or a stack fault), unpacks both, adds under
//! the control word's precision and rounding, sets the status word and writes ST0.
//!
//! Where the manuals leave a detail undefined (condition codes after FPREM's partial steps,
//! C1 of moves, results kept after unmasked exceptions), an AMD Zen 5 was observed and is
//! followed.
//!
//! Source: Intel SDM volume 1, chapter 8, and volume 2; observation.

mod arith;
mod execute;
mod image;
mod op;
#[cfg(test)]
mod tests;
mod transcendental;
mod value;
mod wide;

pub use image::FXSAVE_X87;
pub use op::{
    Arithmetic, Condition, Constant, Function, MemoryFormat, Operands, Order, Wait, Width, X87Op,
    sti_of, x87_lookup,
};
pub use value::F80;

use super::soft::{EXTENDED, Env, Format, IE, Rounding};

/// Status word: stack fault.
const SF: u16 = 1 << 6;
/// Status word: an unmasked exception is pending.
const ES: u16 = 1 << 7;
/// Status word: condition codes.
const C0: u16 = 1 << 8;
const C1: u16 = 1 << 9;
const C2: u16 = 1 << 10;
const C3: u16 = 1 << 14;
/// Status word: busy, a copy of [`ES`].
const BUSY: u16 = 1 << 15;

/// Where an instruction and its memory operand are: what the last-instruction pointers
/// record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// Offset of the instruction.
    pub ip: u64,
    /// Code segment selector.
    pub cs: u16,
    /// Offset of the memory operand.
    pub dp: u64,
    /// Data segment selector.
    pub ds: u16,
    /// The low eleven bits of the opcode.
    pub opcode: u16,
}

/// The x87 state: eight registers, of which MMX sees the mantissas, and the control words.
#[derive(Clone, Debug)]
pub struct Fpu {
    /// Physical registers R0 to R7; ST(i) is `regs[(top + i) & 7]`, MMi is `regs[i]`.
    pub regs: [F80; 8],
    /// The register that is ST(0).
    pub top: u8,
    /// The control word, as `FNSTCW` shows it.
    pub control: u16,
    /// The status word without TOP; [`Fpu::status_word`] puts it in.
    pub status: u16,
    /// The abridged tag word: bit `i` set when physical register `i` is not empty.
    pub valid: u8,
    /// The last non-control instruction.
    pub last: Origin,
}

impl Default for Fpu {
    fn default() -> Self {
        Self::new()
    }
}

/// What an instruction is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input<'a> {
    /// The register operand that is not implied: [`sti_of`].
    pub sti: u8,
    /// The bytes of a memory source.
    pub memory: &'a [u8],
    /// RFLAGS, for `FCMOVcc`.
    pub rflags: u64,
    /// Recorded by non-control instructions.
    pub origin: Origin,
}

/// What an instruction does outside the unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Effect {
    /// How many bytes of the output buffer go to the memory destination; 0 means that
    /// nothing is stored.
    pub stored: usize,
    /// ZF, PF and CF of `FCOMI` and its kin; OF, SF and AF are cleared.
    pub rflags: Option<u64>,
    /// The new AX.
    pub ax: Option<u16>,
}

/// Why an instruction did not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum X87Fault {
    /// An earlier unmasked exception is pending: #MF, vector 16.
    Pending,
}

/// The most bytes an instruction stores (`FNSAVE`).
pub const MAX_STORE: usize = 108;

impl Fpu {
    /// The state after reset and `FNINIT`.
    pub fn new() -> Self {
        Self {
            regs: [F80::default(); 8],
            top: 0,
            control: 0x37F,
            status: 0,
            valid: 0,
            last: Origin::default(),
        }
    }

    /// The status word with TOP.
    pub fn status_word(&self) -> u16 {
        (self.status & !(7 << 11)) | (u16::from(self.top & 7) << 11)
    }

    /// Sets the status word and TOP, and the summary bits to match the control word.
    pub fn set_status_word(&mut self, status: u16) {
        self.status = status & !(7 << 11);
        self.top = (status >> 11 & 7) as u8;
        self.summarise();
    }

    /// Sets the control word; bits that the hardware fixes are fixed.
    pub fn set_control_word(&mut self, control: u16) {
        self.control = (control & 0x1F3F) | 0x40;
        self.summarise();
    }

    /// Whether a waiting instruction (x87 or MMX) raises #MF now.
    #[inline]
    pub fn pending(&self) -> bool {
        self.status & ES != 0
    }

    fn summarise(&mut self) {
        if self.status & !self.control & 0x3F != 0 {
            self.status |= ES | BUSY;
        } else {
            self.status &= !(ES | BUSY);
        }
    }

    /// Reads MMX register `i`. The core calls [`Fpu::enter_mmx`] for the instruction.
    #[inline]
    pub fn read_mm(&self, i: u8) -> u64 {
        self.regs[usize::from(i & 7)].mantissa
    }

    /// Writes MMX register `i`.
    #[inline]
    pub fn write_mm(&mut self, i: u8, value: u64) {
        self.regs[usize::from(i & 7)] = F80 { mantissa: value, sign_exponent: 0xFFFF };
    }

    /// What every MMX instruction but `EMMS` does: TOP becomes 0 and all registers valid.
    #[inline]
    pub fn enter_mmx(&mut self) {
        self.top = 0;
        self.valid = 0xFF;
    }

    /// `EMMS`: marks all registers empty.
    pub fn emms(&mut self) {
        self.valid = 0;
    }

    #[inline]
    fn physical(&self, i: u8) -> usize {
        usize::from(self.top.wrapping_add(i) & 7)
    }

    fn is_empty(&self, i: u8) -> bool {
        self.valid >> self.physical(i) & 1 == 0
    }

    /// ST(i), or `None` when it is empty.
    pub fn st(&self, i: u8) -> Option<F80> {
        (!self.is_empty(i)).then(|| self.regs[self.physical(i)])
    }

    fn set_st(&mut self, i: u8, value: F80) {
        let at = self.physical(i);
        self.regs[at] = value;
        self.valid |= 1 << at;
    }

    fn free(&mut self, i: u8) {
        self.valid &= !(1 << self.physical(i));
    }

    fn pop(&mut self) {
        self.free(0);
        self.top = self.top.wrapping_add(1) & 7;
    }

    fn push(&mut self, value: F80) {
        self.top = self.top.wrapping_sub(1) & 7;
        self.set_st(0, value);
    }

    /// The environment for an operation that always has 64 bits of precision.
    fn env(&self) -> Env {
        let rounding = Rounding::from_bits(u32::from(self.control >> 10));
        Env::new(rounding, u32::from(self.control & 0x3F))
    }

    /// The result format that precision control asks for.
    fn format(&self) -> Format {
        let precision = match self.control >> 8 & 3 {
            0 => 24,
            2 => 53,
            _ => 64,
        };
        Format { precision, ..EXTENDED }
    }

    fn set_c1(&mut self, on: bool) {
        self.status = (self.status & !C1) | if on { C1 } else { 0 };
    }

    fn set_conditions(&mut self, bits: u16) {
        self.status = (self.status & !(C0 | C2 | C3)) | bits;
    }

    /// Records a stack underflow; true when the masked response is to be given.
    fn stack_underflow(&mut self) -> bool {
        self.set_c1(false);
        self.stack_fault()
    }

    /// Records a stack overflow; true when the masked response is to be given.
    fn stack_overflow(&mut self) -> bool {
        self.set_c1(true);
        self.stack_fault()
    }

    fn stack_fault(&mut self) -> bool {
        self.status |= SF | IE as u16;
        self.summarise();
        self.control & IE as u16 != 0
    }
}
