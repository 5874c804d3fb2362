//! Initial registers and memory of a generated case, chosen to suit its instructions.
//!
//! Key type: [`Inputs`]. A register keeps the first value it is given; later instructions that need another address
//! from the same base get another displacement instead ([`Inputs::take_displacement`]).

use iced_x86::{Code, Instruction, MemorySize, Mnemonic, OpKind, Register};

use crate::case::{Case, Mode, RSP, State};
use crate::layout::{self, DATA, PAGE, READ_ONLY, STACK};
use crate::values::{Flavor, Rng};

/// The inputs of one case in the making.
pub(crate) struct Inputs {
    rng: Rng,
    mode: Mode,
    state: State,
    assigned: u32,
    xmm_assigned: u32,
    st_assigned: u32,
    pokes: Vec<(u64, u64)>,
    displacement: Option<u64>,
}

const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RBX: usize = 3;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;

impl Inputs {
    pub fn new(seed: u64, mode: Mode) -> Self {
        let mut rng = Rng::new(seed);
        let mut state = State::new();
        state.gpr[RSP] = match rng.below(100) {
            0..=79 => STACK + 0x800 + 8 * rng.below(16),
            80..=89 => STACK + 0x800 + rng.below(64),
            90..=93 => STACK + rng.below(24),
            94..=97 => STACK + PAGE - rng.below(24),
            98 => DATA + PAGE - 4,
            _ => rng.integer(),
        };
        // Arithmetic flags and the direction at random.
        state.rflags = 0x202 | (rng.bits() & 0x8D5);
        if rng.chance(20) {
            state.rflags |= 0x400;
        }
        let mut mxcsr = 0x1F80;
        if rng.chance(50) {
            mxcsr |= (rng.below(4) as u32) << 13 | rng.below(64) as u32;
        }
        if rng.chance(25) {
            mxcsr |= rng.pick(&[0x8000, 0x0040, 0x8040]);
        }
        if rng.chance(10) {
            mxcsr &= !((rng.bits() as u32 & 0x3F) << 7);
        }
        if rng.chance(25) {
            // What programs soon have: inexactness noted, nothing else.
            mxcsr = 0x1FA0;
        }
        state.set_mxcsr(mxcsr);
        let mut fcw = 0x37F;
        if rng.chance(50) {
            fcw = 0x7F | (rng.pick(&[0, 2, 3, 3]) << 8) | ((rng.below(4) as u16) << 10);
        }
        if rng.chance(10) {
            fcw &= !(rng.bits() as u16 & 0x3F);
        }
        state.set_fcw(fcw);
        let mut fsw = (rng.below(8) as u16) << 11;
        if rng.chance(50) {
            fsw |= rng.bits() as u16 & 0x477F;
        }
        // The error summary follows from flags and masks.
        if fsw & !fcw & 0x3F != 0 {
            if rng.chance(70) {
                fsw &= !0x3F;
            } else {
                fsw |= 0x8080;
            }
        }
        state.set_fsw(fsw);
        let tags = if rng.chance(60) { 0x0F } else { rng.bits() as u8 };
        state.set_ftw(tags.rotate_left(u32::from(fsw >> 11) & 7));
        for base in [&mut state.fs_base, &mut state.gs_base] {
            *base = rng.pick(&[0, DATA, DATA + 0x40, STACK, 0x2000_0000_0000]);
        }
        Self {
            rng,
            mode,
            state,
            assigned: 1 << RSP,
            xmm_assigned: 0,
            st_assigned: 0,
            pokes: Vec::new(),
            displacement: None,
        }
    }

    /// An address for an operand of `size` bytes: mostly good, sometimes across pages, misaligned, absent or refused.
    pub fn target(&mut self, size: usize) -> u64 {
        let rng = &mut self.rng;
        let size = size as u64;
        let align = size.next_power_of_two().min(16);
        match rng.below(100) {
            0..=69 => DATA + (rng.below(2 * PAGE - size) & !(align - 1)),
            70..=79 => DATA + rng.below(2 * PAGE - size),
            80..=84 => DATA + PAGE - rng.below(size + 1),
            85..=87 => READ_ONLY - rng.below(size + 1),
            88..=90 => READ_ONLY + (rng.below(PAGE - size) & !(align - 1)),
            91 => READ_ONLY + PAGE - rng.below(size + 1),
            92 => DATA - rng.below(size + 1),
            93 => READ_ONLY + PAGE + rng.below(64),
            94 => STACK + rng.below(PAGE - size),
            95 => rng.integer(),
            96 => 0x8000_0000_0000_0000 | rng.bits() >> 1,
            _ => STACK + 0x800 + (rng.below(256) & !(align - 1)),
        }
    }

    /// Puts values of the operand's kind at an address, if it is the case's memory.
    pub fn fill(&mut self, target: u64, kind: MemorySize) {
        let (flavor, size) = (flavor_of(kind), kind.size());
        match kind {
            MemorySize::Fxsave_512Byte | MemorySize::Fxsave64_512Byte => {
                let mxcsr = u64::from(self.state.mxcsr() ^ (self.rng.bits() as u32 & 0x7FFF));
                self.set_memory(target.wrapping_add(24), mxcsr | 0xFFFF_0000_0000);
            }
            _ if size <= 16 => {
                let value = self.rng.vector(flavor);
                self.set_memory(target, value as u64);
                if size > 8 {
                    self.set_memory(target.wrapping_add(8), (value >> 64) as u64);
                }
            }
            _ => {}
        }
    }

    fn set_memory(&mut self, address: u64, value: u64) {
        // A word that crosses into another page is split, since pages need not be neighbours.
        if let Some(offset) = layout::offset_of(address)
            && layout::offset_of(address.wrapping_add(7)) == Some(offset + 7)
        {
            self.pokes.push((offset as u64, value));
        }
    }

    /// Gives a general register its initial value; false if it has one.
    pub fn assign(&mut self, n: usize, value: u64) -> bool {
        if self.assigned & (1 << n) != 0 {
            return false;
        }
        self.assigned |= 1 << n;
        self.state.gpr[n] = value;
        true
    }

    fn value(&self, n: usize) -> Option<u64> {
        (self.assigned & (1 << n) != 0).then(|| self.state.gpr[n])
    }

    /// The displacement that the last prepared instruction should have instead of its own.
    pub fn take_displacement(&mut self) -> Option<u64> {
        self.displacement.take()
    }

    /// Gives registers and memory that the instruction reads suitable values. `written` has a bit for each register
    /// that an earlier instruction changed. False if the instruction must not run with what is there.
    pub fn prepare(&mut self, instruction: &Instruction, written: u32, adjustable: bool) -> bool {
        self.displacement = None;
        let mnemonic = instruction.mnemonic();
        if !self.special(instruction, written) {
            return false;
        }
        self.strings(instruction);
        let kind = instruction.memory_size();
        let has_memory =
            (0..instruction.op_count()).any(|n| instruction.op_kind(n) == OpKind::Memory);
        if has_memory && mnemonic != Mnemonic::Lea {
            if let Some(target) = self.address(instruction, written, adjustable) {
                if mnemonic == Mnemonic::Ldmxcsr {
                    let value = if self.rng.chance(80) {
                        self.rng.below(0x1_0000)
                    } else {
                        self.rng.bits()
                    };
                    self.set_memory(target, value);
                }
                if is_indirect_branch(instruction) {
                    let to = branch_target(&mut self.rng, self.mode);
                    self.set_memory(target, to);
                }
                self.compare_values(instruction, target);
                self.fill(target, kind);
            } else if is_indirect_branch(instruction) {
                return false;
            }
        }
        self.vectors(instruction);
        true
    }

    /// Chooses base and index values, or another displacement, so that the operand lies at a chosen place. `None` if
    /// neither is possible.
    fn address(
        &mut self,
        instruction: &Instruction,
        written: u32,
        adjustable: bool,
    ) -> Option<u64> {
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        if base.is_ip() || !base.is_gpr() {
            return None;
        }
        let segment = match instruction.memory_segment() {
            Register::FS => self.state.fs_base,
            Register::GS => self.state.gs_base,
            _ => 0,
        };
        let narrow = base.size() == 4;
        let size = instruction.memory_size().size().max(1);
        let target = self.target(size).wrapping_sub(segment);
        let scaled = if index == Register::AL {
            // XLAT adds an unsigned byte.
            let value = self.rng.bits();
            self.assign(RAX, value);
            self.value(RAX).unwrap_or_default() & 0xFF
        } else if index.is_gpr() {
            let n = index.number();
            let value = self.rng.pick(&[0, 1, 2, 5, 8, 64, (-1i64) as u64, (-8i64) as u64]);
            self.assign(n, value);
            let value = self.value(n).unwrap_or_default();
            let value = if narrow { u64::from(value as u32) } else { value };
            value.wrapping_mul(u64::from(instruction.memory_index_scale()))
        } else {
            0
        };
        let n = base.number();
        if written & (1 << n) != 0 {
            return None;
        }
        let displacement = instruction.memory_displacement64();
        let high = if narrow && self.mode == Mode::Long && self.rng.chance(50) {
            self.rng.bits() << 32
        } else {
            0
        };
        let wanted = target.wrapping_sub(scaled).wrapping_sub(displacement);
        let wanted = if narrow { u64::from(wanted as u32) | high } else { wanted };
        if self.assign(n, wanted) {
            return Some(target.wrapping_add(segment));
        }
        let found = self.value(n)?;
        let displacement = target.wrapping_sub(found).wrapping_sub(scaled);
        if !adjustable || index == Register::AL || i32::try_from(displacement as i64).is_err() {
            return None;
        }
        self.displacement = Some(displacement);
        Some(target.wrapping_add(segment))
    }

    /// Pointers and counts of string instructions and of MASKMOV.
    fn strings(&mut self, instruction: &Instruction) {
        for n in 0..instruction.op_count() {
            let register = match instruction.op_kind(n) {
                OpKind::MemorySegRSI | OpKind::MemorySegESI => RSI,
                OpKind::MemoryESRDI
                | OpKind::MemoryESEDI
                | OpKind::MemorySegRDI
                | OpKind::MemorySegEDI => RDI,
                _ => continue,
            };
            let mut target = match self.rng.below(10) {
                0 => self.target(instruction.memory_size().size().max(1)),
                1 => DATA + PAGE - self.rng.below(64),
                2 => READ_ONLY - self.rng.below(64),
                _ => DATA + 0x400 + self.rng.below(0x1800),
            };
            if register == RSI {
                target = target.wrapping_sub(match instruction.memory_segment() {
                    Register::FS => self.state.fs_base,
                    Register::GS => self.state.gs_base,
                    _ => 0,
                });
            }
            if matches!(
                instruction.op_kind(n),
                OpKind::MemorySegESI | OpKind::MemoryESEDI | OpKind::MemorySegEDI
            ) && self.rng.chance(50)
            {
                target |= self.rng.bits() << 32;
            }
            self.assign(register, target);
        }
        if instruction.has_rep_prefix() || instruction.has_repne_prefix() {
            let count = match self.rng.below(20) {
                0 => 0,
                1 => self.rng.below(3000),
                2 => self.rng.below(1000),
                _ => self.rng.below(40),
            };
            self.assign(RCX, count);
        }
    }

    /// Equal values for half of the compare-and-exchange instructions.
    fn compare_values(&mut self, instruction: &Instruction, target: u64) {
        if !self.rng.chance(50) {
            return;
        }
        match instruction.mnemonic() {
            Mnemonic::Cmpxchg => {
                let value = self.rng.integer();
                self.assign(RAX, value);
                self.set_memory(target, self.state.gpr[RAX]);
            }
            Mnemonic::Cmpxchg8b => {
                let (low, high) = (self.rng.bits(), self.rng.bits());
                self.assign(RAX, low);
                self.assign(RDX, high);
                let low = u64::from(self.state.gpr[RAX] as u32);
                self.set_memory(target, low | self.state.gpr[RDX] << 32);
            }
            Mnemonic::Cmpxchg16b => {
                let (low, high) = (self.rng.bits(), self.rng.bits());
                self.assign(RAX, low);
                self.assign(RDX, high);
                self.set_memory(target, self.state.gpr[RAX]);
                self.set_memory(target.wrapping_add(8), self.state.gpr[RDX]);
            }
            _ => {}
        }
    }

    /// Instructions that need particular values to do something useful, or must not see others.
    fn special(&mut self, instruction: &Instruction, written: u32) -> bool {
        let register_operand = |n: u32| {
            (instruction.op_kind(n) == OpKind::Register && instruction.op_register(n).is_gpr())
                .then(|| instruction.op_register(n).full_register().number())
        };
        match instruction.mnemonic() {
            Mnemonic::Div | Mnemonic::Idiv if self.rng.chance(70) => {
                let low = self.rng.integer();
                self.assign(RAX, low);
                let high = match self.rng.below(4) {
                    0 => 0,
                    1 => self.rng.below(1000),
                    _ => ((self.state.gpr[RAX] as i64) >> 63) as u64,
                };
                self.assign(RDX, high);
                if let Some(n) = register_operand(0) {
                    let divisor = self.rng.integer() | 1;
                    self.assign(n, divisor);
                }
            }
            // With a memory operand the register's whole value selects the byte.
            Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc
                if instruction.op0_kind() == OpKind::Memory =>
            {
                if let Some(n) = register_operand(1) {
                    let bit = (self.rng.below(2048) as i64 - 1024) as u64;
                    self.assign(n, bit);
                }
            }
            // A count above the operand size has no defined result.
            Mnemonic::Shld | Mnemonic::Shrd
                if matches!(
                    instruction.code(),
                    Code::Shld_rm16_r16_CL | Code::Shrd_rm16_r16_CL
                ) =>
            {
                let count = self.rng.below(17) | self.rng.bits() << 5;
                self.assign(RCX, count);
                return written & (1 << RCX) == 0 && self.state.gpr[RCX] & 31 <= 16;
            }
            Mnemonic::Shld | Mnemonic::Shrd
                if matches!(
                    instruction.code(),
                    Code::Shld_rm16_r16_imm8 | Code::Shrd_rm16_r16_imm8
                ) =>
            {
                return instruction.immediate8() & 31 <= 16;
            }
            Mnemonic::Shl
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Sal
            | Mnemonic::Rol
            | Mnemonic::Ror
            | Mnemonic::Rcl
            | Mnemonic::Rcr
                if instruction.op1_kind() == OpKind::Register && self.rng.chance(80) =>
            {
                let count = self.rng.below(70);
                self.assign(RCX, count);
            }
            Mnemonic::Pcmpestri
            | Mnemonic::Pcmpestrm
            | Mnemonic::Pcmpestri64
            | Mnemonic::Pcmpestrm64 => {
                let (a, b) = (self.length(), self.length());
                self.assign(RAX, a);
                self.assign(RDX, b);
            }
            Mnemonic::Loop
            | Mnemonic::Loope
            | Mnemonic::Loopne
            | Mnemonic::Jrcxz
            | Mnemonic::Jecxz => {
                let count = self.rng.pick(&[0, 1, 2, 1 << 32, u64::MAX]);
                self.assign(RCX, count);
            }
            Mnemonic::Leave | Mnemonic::Enter => {
                let frame = STACK + 0x800 + 8 * self.rng.below(64);
                self.assign(RBP, frame);
            }
            Mnemonic::Ret => {
                if written & (1 << RSP) != 0 {
                    return false;
                }
                let to = branch_target(&mut self.rng, self.mode);
                self.set_memory(self.state.gpr[RSP], to);
                return layout::offset_of(self.state.gpr[RSP])
                    .is_some_and(|at| layout::offset_of(self.state.gpr[RSP] + 7) == Some(at + 7));
            }
            Mnemonic::Popf | Mnemonic::Popfq | Mnemonic::Popfd => {
                let mut flags = self.rng.bits() & 0x27_FFFF;
                for (bit, percent) in [(1 << 8, 90), (1 << 18, 99), (1 << 14, 80)] {
                    if self.rng.chance(percent) {
                        flags &= !bit;
                    }
                }
                self.set_memory(self.state.gpr[RSP], flags);
                return written & (1 << RSP) == 0;
            }
            Mnemonic::Cmpxchg if self.rng.chance(50) => {
                if let Some(n) = register_operand(0) {
                    let value = self.rng.integer();
                    self.assign(RAX, value);
                    self.assign(n, self.state.gpr[RAX]);
                }
            }
            Mnemonic::Wrfsbase | Mnemonic::Wrgsbase => {
                if let Some(n) = register_operand(0) {
                    let base =
                        self.rng.pick(&[0, DATA, STACK, 1 << 47, u64::MAX, 0x7FFF_FFFF_F000]);
                    self.assign(n, base);
                }
            }
            Mnemonic::Xlatb => {
                let target = self.target(1);
                self.assign(RBX, target);
            }
            _ => {}
        }
        if is_indirect_branch(instruction)
            && let Some(n) = register_operand(0)
        {
            let to = branch_target(&mut self.rng, self.mode);
            return written & (1 << n) == 0 && self.assign(n, to);
        }
        true
    }

    fn length(&mut self) -> u64 {
        match self.rng.below(4) {
            0 => self.rng.integer(),
            1 => self.rng.below(20).wrapping_neg(),
            _ => self.rng.below(20),
        }
    }

    /// Values of the right kind in vector and x87 registers.
    fn vectors(&mut self, instruction: &Instruction) {
        let flavor = flavor_of(instruction.code().op_code().memory_size());
        for n in 0..instruction.op_count() {
            if instruction.op_kind(n) != OpKind::Register {
                continue;
            }
            let register = instruction.op_register(n);
            let number = register.number();
            if register.is_xmm() && self.xmm_assigned & (1 << number) == 0 {
                self.xmm_assigned |= 1 << number;
                let value = self.vector_value(flavor);
                self.state.set_xmm(number, value);
            } else if register.is_mm() {
                // MM0 to MM7 are the physical registers, which the FXSAVE image rotates by TOP.
                let top = usize::from(self.state.fsw() >> 11) & 7;
                let slot = (number + 8 - top) & 7;
                if self.st_assigned & (1 << slot) == 0 {
                    self.st_assigned |= 1 << slot;
                    let value = self.vector_value(flavor) as u64;
                    let exponent = if self.rng.chance(50) { 0xFFFF } else { 0x3FFF };
                    self.state.set_st(slot, (value, exponent));
                }
            }
        }
        match instruction.mnemonic() {
            // The shift count of a packed shift is a whole quadword.
            Mnemonic::Psllw
            | Mnemonic::Pslld
            | Mnemonic::Psllq
            | Mnemonic::Psrlw
            | Mnemonic::Psrld
            | Mnemonic::Psrlq
            | Mnemonic::Psraw
            | Mnemonic::Psrad
                if instruction.op1_kind() == OpKind::Register && self.rng.chance(70) =>
            {
                let number = instruction.op1_register().number();
                let count = u128::from(self.rng.below(70));
                if instruction.op1_register().is_xmm() {
                    self.state.set_xmm(number, count | u128::from(self.rng.bits()) << 64);
                }
            }
            _ => {}
        }
    }

    fn vector_value(&mut self, flavor: Flavor) -> u128 {
        let flavor = if self.rng.chance(10) {
            self.rng.pick(&[Flavor::Single, Flavor::Double, Flavor::Integer])
        } else {
            flavor
        };
        self.rng.vector(flavor)
    }

    /// The finished case. Registers without a value get a random one.
    pub fn finish(mut self, ip: u64, code: &[u8]) -> Case {
        for n in 0..16 {
            let value = match self.rng.below(12) {
                0 => DATA + self.rng.below(2 * PAGE),
                1 => u64::from(self.rng.single()),
                2 => self.rng.double(),
                _ => self.rng.integer(),
            };
            self.assign(n, value);
            if self.xmm_assigned & (1 << n) == 0 {
                let flavor = self.rng.pick(&[Flavor::Single, Flavor::Double, Flavor::Integer]);
                let value = self.rng.vector(flavor);
                self.state.set_xmm(n, value);
            }
        }
        for n in 0..8 {
            if self.st_assigned & (1 << n) == 0 {
                let value = self.rng.extended();
                self.state.set_st(n, value);
            }
        }
        self.state.rip = ip;
        if self.mode == Mode::Compatibility {
            self.state.gpr = self.state.gpr.map(|value| u64::from(value as u32));
        }
        let mut case = Case::with_mode(self.state, code, self.mode);
        // What was set first is what the first instruction reads, so it is written last.
        for &(offset, value) in self.pokes.iter().take(crate::case::MAX_POKES).rev() {
            case.poke(offset as usize, value);
        }
        case
    }
}

/// A place that an indirect branch may go to: mostly the exit.
fn branch_target(rng: &mut Rng, mode: Mode) -> u64 {
    if rng.chance(80) {
        mode.exit()
    } else {
        rng.pick(&[0, 0x1234, layout::DATA + 5, 0x7FFF_0000_0000])
    }
}

fn is_indirect_branch(instruction: &Instruction) -> bool {
    instruction.is_jmp_near_indirect() || instruction.is_call_near_indirect()
}

/// What the elements of an operand are.
pub(crate) fn flavor_of(kind: MemorySize) -> Flavor {
    match kind.element_type() {
        MemorySize::Float32 => Flavor::Single,
        MemorySize::Float64 => Flavor::Double,
        MemorySize::Float80 => Flavor::Extended,
        MemorySize::Bcd => Flavor::Decimal,
        _ => Flavor::Integer,
    }
}
