//! A case (code, registers, memory) and what running it gave.
//!
//! Key types: [`State`], [`Case`], [`Outcome`]. They are plain bytes, since they cross to the forked runner through
//! shared memory ([`crate::host`]). The x87 and SSE part is an FXSAVE image in the 64-bit form
//! (Intel SDM volume 1, 10.5.1).

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::layout;

/// Longest code of a case, with the closing jump.
pub const MAX_CODE: usize = 192;
/// Most bytes a case sets beyond the background, in eights.
pub const MAX_POKES: usize = 24;
/// Most changed eight-byte words an outcome lists; the hash covers all.
pub const MAX_CHANGES: usize = 96;

/// What the code of a case is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// 64-bit code.
    #[default]
    Long,
    /// 32-bit code in compatibility mode.
    Compatibility,
}

impl Mode {
    /// 64 or 32.
    pub const fn bits(self) -> u32 {
        match self {
            Mode::Long => 64,
            Mode::Compatibility => 32,
        }
    }

    /// Where the code arrives when it has finished.
    pub const fn exit(self) -> u64 {
        match self {
            Mode::Long => layout::EXIT,
            Mode::Compatibility => layout::EXIT_32,
        }
    }
}

/// Registers that user-mode code sees.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, PartialEq, Eq)]
pub struct State {
    /// The FXSAVE image: x87, MMX, XMM, MXCSR.
    pub fx: [u8; 512],
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8..R15.
    pub gpr: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// Base of FS.
    pub fs_base: u64,
    /// Base of GS.
    pub gs_base: u64,
}

/// Index of RSP in [`State::gpr`].
pub const RSP: usize = 4;

const FX_MXCSR: usize = 24;
const FX_ST: usize = 32;
const FX_XMM: usize = 160;

impl State {
    /// The state a fresh thread has: masked exceptions, empty x87 stack, RIP at the code, RSP in the stack page.
    pub fn new() -> Self {
        let mut state = Self::new_zeroed();
        state.set_fcw(0x037F);
        state.set_mxcsr(0x1F80);
        state.gpr[RSP] = layout::STACK + 0x800;
        state.rip = layout::CODE;
        state.rflags = 0x202;
        state
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.fx[at], self.fx[at + 1]])
    }

    fn set_word(&mut self, at: usize, value: u16) {
        self.fx[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    /// The x87 control word.
    pub fn fcw(&self) -> u16 {
        self.word(0)
    }

    /// Sets the x87 control word.
    pub fn set_fcw(&mut self, value: u16) {
        self.set_word(0, value);
    }

    /// The x87 status word.
    pub fn fsw(&self) -> u16 {
        self.word(2)
    }

    /// Sets the x87 status word.
    pub fn set_fsw(&mut self, value: u16) {
        self.set_word(2, value);
    }

    /// The abridged x87 tags: bit n set when physical register n is not empty.
    pub fn ftw(&self) -> u8 {
        self.fx[4]
    }

    /// Sets the abridged x87 tags.
    pub fn set_ftw(&mut self, value: u8) {
        self.fx[4] = value;
    }

    /// MXCSR.
    pub fn mxcsr(&self) -> u32 {
        u32::from(self.word(FX_MXCSR)) | (u32::from(self.word(FX_MXCSR + 2)) << 16)
    }

    /// Sets MXCSR.
    pub fn set_mxcsr(&mut self, value: u32) {
        self.fx[FX_MXCSR..FX_MXCSR + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// ST(n): 64 bits of significand, 16 bits of sign and exponent.
    pub fn st(&self, n: usize) -> (u64, u16) {
        let at = FX_ST + 16 * (n & 7);
        let mut significand = [0; 8];
        significand.copy_from_slice(&self.fx[at..at + 8]);
        (u64::from_le_bytes(significand), self.word(at + 8))
    }

    /// Sets ST(n).
    pub fn set_st(&mut self, n: usize, (significand, exponent): (u64, u16)) {
        let at = FX_ST + 16 * (n & 7);
        self.fx[at..at + 8].copy_from_slice(&significand.to_le_bytes());
        self.set_word(at + 8, exponent);
    }

    /// XMM register n.
    pub fn xmm(&self, n: usize) -> u128 {
        let at = FX_XMM + 16 * (n & 15);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.fx[at..at + 16]);
        u128::from_le_bytes(bytes)
    }

    /// Sets XMM register n.
    pub fn set_xmm(&mut self, n: usize, value: u128) {
        let at = FX_XMM + 16 * (n & 15);
        self.fx[at..at + 16].copy_from_slice(&value.to_le_bytes());
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

/// Eight bytes of a case's memory.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, PartialEq, Eq, Debug)]
pub struct Poke {
    /// Offset in the case's memory ([`layout::address_of`]), at most [`layout::SPACE`]` - 8`.
    pub offset: u64,
    /// The bytes, little-endian.
    pub value: u64,
}

/// Code to run, and what it finds.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Case {
    /// The registers at the start; RIP says where in the code pages the code lies.
    pub state: State,
    /// Bytes of `code` in use.
    pub code_len: u32,
    /// Entries of `pokes` in use.
    pub poke_count: u32,
    /// Not zero when the code changes itself, so that all of the code pages must be put back.
    pub rewrites_code: u32,
    /// Not zero for 32-bit code.
    compatibility: u32,
    /// The code, closing jump to [`layout::EXIT`] included.
    pub code: [u8; MAX_CODE],
    /// What memory holds beyond the background.
    pub pokes: [Poke; MAX_POKES],
}

impl Case {
    /// A case of 64-bit `code` from `state`, closed by a jump to [`layout::EXIT`]. Code that is too long is cut.
    pub fn new(state: State, code: &[u8]) -> Self {
        Self::with_mode(state, code, Mode::Long)
    }

    /// A case of `code` from `state`, closed by a jump to [`Mode::exit`]. Code that is too long is cut.
    pub fn with_mode(state: State, code: &[u8], mode: Mode) -> Self {
        let mut case = Self::new_zeroed();
        case.state = state;
        case.compatibility = (mode == Mode::Compatibility).into();
        let len = code.len().min(MAX_CODE - 5);
        case.code[..len].copy_from_slice(&code[..len]);
        let next = state.rip.wrapping_add(len as u64 + 5);
        case.code[len] = 0xE9;
        case.code[len + 1..len + 5]
            .copy_from_slice(&(mode.exit().wrapping_sub(next) as u32).to_le_bytes());
        case.code_len = len as u32 + 5;
        case
    }

    /// What the code is.
    pub fn mode(&self) -> Mode {
        if self.compatibility == 0 { Mode::Long } else { Mode::Compatibility }
    }

    /// The code, closing jump included.
    pub fn code(&self) -> &[u8] {
        self.code.get(..self.code_len as usize).unwrap_or(&self.code)
    }

    /// The code without the closing jump.
    pub fn body(&self) -> &[u8] {
        let code = self.code();
        code.get(..code.len().saturating_sub(5)).unwrap_or_default()
    }

    /// What memory holds beyond the background.
    pub fn pokes(&self) -> &[Poke] {
        self.pokes.get(..self.poke_count as usize).unwrap_or(&self.pokes)
    }

    /// Sets eight bytes of memory; false when there is no room or the offset is outside.
    pub fn poke(&mut self, offset: usize, value: u64) -> bool {
        if offset > layout::SPACE - 8 {
            return false;
        }
        let Some(slot) = self.pokes.get_mut(self.poke_count as usize) else { return false };
        *slot = Poke { offset: offset as u64, value };
        self.poke_count += 1;
        true
    }
}

/// How a case ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Execution reached [`layout::EXIT`].
    Finished,
    /// An exception was raised.
    Fault {
        /// Its vector.
        vector: u8,
        /// Its error code, zero if it has none.
        error_code: u32,
        /// CR2 of a page fault, else zero.
        address: u64,
    },
    /// A system call instruction was executed.
    SystemCall,
    /// The code did not end.
    Timeout,
    /// The runner died.
    Crashed,
    /// The runner gave up, for a reason of its own.
    Unsupported,
}

/// What a case left behind.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Outcome {
    /// The registers at the end; after a fault, as the exception handler finds them.
    pub state: State,
    kind: u32,
    vector: u32,
    error_code: u64,
    address: u64,
    /// Words of memory that differ from the background.
    pub change_count: u64,
    /// A hash over all of them.
    pub change_hash: u64,
    reserved: u64,
    changes: [Poke; MAX_CHANGES],
}

const FINISHED: u32 = 1;
const FAULT: u32 = 2;
const SYSTEM_CALL: u32 = 3;
const TIMEOUT: u32 = 4;
const UNSUPPORTED: u32 = 5;

impl Outcome {
    /// An outcome of nothing yet: it reads as [`Ending::Crashed`].
    pub fn none() -> Self {
        Self::new_zeroed()
    }

    /// How the case ended.
    pub fn ending(&self) -> Ending {
        match self.kind {
            FINISHED => Ending::Finished,
            FAULT => Ending::Fault {
                vector: self.vector as u8,
                error_code: self.error_code as u32,
                address: self.address,
            },
            SYSTEM_CALL => Ending::SystemCall,
            TIMEOUT => Ending::Timeout,
            UNSUPPORTED => Ending::Unsupported,
            _ => Ending::Crashed,
        }
    }

    /// Records how the case ended.
    pub fn set_ending(&mut self, ending: Ending) {
        (self.vector, self.error_code, self.address) = (0, 0, 0);
        self.kind = match ending {
            Ending::Finished => FINISHED,
            Ending::Fault { vector, error_code, address } => {
                self.vector = vector.into();
                self.error_code = error_code.into();
                self.address = address;
                FAULT
            }
            Ending::SystemCall => SYSTEM_CALL,
            Ending::Timeout => TIMEOUT,
            Ending::Crashed => 0,
            Ending::Unsupported => UNSUPPORTED,
        };
    }

    /// The first words of memory that differ from the background, with what they hold.
    pub fn changes(&self) -> &[Poke] {
        let count = (self.change_count as usize).min(MAX_CHANGES);
        self.changes.get(..count).unwrap_or_default()
    }

    /// Forgets all changes of memory.
    pub fn clear_changes(&mut self) {
        self.change_count = 0;
        self.change_hash = 0;
    }

    /// Records that the word at `offset` holds `value`; call in ascending order.
    #[inline]
    pub fn add_change(&mut self, offset: u64, value: u64) {
        let count = self.change_count as usize;
        if count < MAX_CHANGES {
            self.changes[count] = Poke { offset, value };
        }
        self.change_count += 1;
        self.change_hash = (self.change_hash.rotate_left(5) ^ value ^ (offset << 48))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    /// Lists the words of `memory` that differ from `background`: every word of the space but the read-only page.
    pub fn record_changes(&mut self, memory: &[u8], background: &[u8]) {
        self.clear_changes();
        const CHUNK: usize = 128;
        for (index, (now, before)) in
            memory.chunks_exact(CHUNK).zip(background.chunks_exact(CHUNK)).enumerate()
        {
            let start = index * CHUNK;
            if now == before || (layout::READ_ONLY_OFFSET..layout::STACK_OFFSET).contains(&start) {
                continue;
            }
            for (word, (now, before)) in now.chunks_exact(8).zip(before.chunks_exact(8)).enumerate()
            {
                if now != before {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(now);
                    self.add_change((start + word * 8) as u64, u64::from_le_bytes(bytes));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_jump_arrives_at_exit() {
        let case = Case::new(State::new(), &[0x90, 0x90]);
        assert_eq!(case.body(), [0x90, 0x90]);
        let jump = &case.code()[2..];
        assert_eq!(jump[0], 0xE9);
        let rel = i32::from_le_bytes([jump[1], jump[2], jump[3], jump[4]]);
        assert_eq!(layout::CODE.wrapping_add(7).wrapping_add(rel as i64 as u64), layout::EXIT);
    }

    #[test]
    fn changes_leave_out_the_read_only_page() {
        let before = vec![0u8; layout::SPACE];
        let mut now = before.clone();
        now[9] = 1;
        now[layout::READ_ONLY_OFFSET] = 1;
        now[layout::SPACE - 1] = 2;
        let mut outcome = Outcome::none();
        outcome.record_changes(&now, &before);
        assert_eq!(
            outcome.changes(),
            [
                Poke { offset: 8, value: 0x100 },
                Poke { offset: layout::SPACE as u64 - 8, value: 2 << 56 }
            ]
        );
    }

    #[test]
    fn registers_of_the_fxsave_image_do_not_overlap() {
        let mut state = State::new();
        state.set_st(7, (u64::MAX, 0xFFFF));
        state.set_xmm(0, u128::MAX);
        state.set_xmm(15, 1);
        assert_eq!(state.st(7), (u64::MAX, 0xFFFF));
        assert_eq!((state.xmm(0), state.xmm(1), state.xmm(15)), (u128::MAX, 0, 1));
        assert_eq!((state.fcw(), state.mxcsr()), (0x37F, 0x1F80));
    }
}
