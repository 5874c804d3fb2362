//! Instructions of 16- and 32-bit code that 64-bit code has lost, and far pointer loads.
//!
//! AAA AAS AAM AAD DAA DAS SALC BOUND ARPL, LES LDS LSS LFS LGS. Undefined flags are computed from the result. Source:
//! Intel SDM volume 2.

use guest_mem::GuestRam;
use iced_x86::{Instruction, Mnemonic, Register};

use super::slow::{load_sized, read, segment_number, write};
use super::system::load_segment;
use crate::decode::select;
use crate::decode::select::by_size;
use crate::engine::vector;
use crate::flags::Int;
use crate::op::{Ea, EaAny, Op, set_reg};
use crate::processor::{Core, Step};
use crate::state::flag;

/// Vector of BOUND's exception, #BR.
const BOUND_RANGE: u8 = 5;

/// Executes one of these instructions; others raise #UD.
pub(crate) fn execute(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let ax = core.regs[0] as u16;
    let [al, ah] = ax.to_le_bytes();
    let (cf, af) = (core.flags.cf(), core.flags.af());
    match i.mnemonic() {
        Mnemonic::Aaa | Mnemonic::Aas => {
            let adjust = al & 15 > 9 || af;
            let new = match (adjust, i.mnemonic()) {
                (false, _) => ax,
                (true, Mnemonic::Aaa) => ax.wrapping_add(0x106),
                _ => ax.wrapping_sub(0x106),
            };
            let new = new & 0xFF0F;
            set_reg(core, 0, new);
            set_flags(core, new as u8, adjust, adjust);
        }
        Mnemonic::Daa | Mnemonic::Das => {
            let low = al & 15 > 9 || af;
            let high = al > 0x99 || cf;
            let by = if low { 6u8 } else { 0 } + if high { 0x60 } else { 0 };
            let subtract = i.mnemonic() == Mnemonic::Das;
            let new = if subtract { al.wrapping_sub(by) } else { al.wrapping_add(by) };
            // A borrow out of the low digit's correction counts too.
            let carry = high || subtract && low && al < 6;
            set_reg(core, 0, new);
            set_flags(core, new, carry, low);
        }
        Mnemonic::Aam => {
            let by = i.immediate8();
            let (Some(high), Some(low)) = (al.checked_div(by), al.checked_rem(by)) else {
                return Err(core.raise(op, vector::DIVIDE, 0));
            };
            set_reg(core, 0, u16::from_le_bytes([low, high]));
            set_flags(core, low, false, false);
        }
        Mnemonic::Aad => {
            let new = al.wrapping_add(ah.wrapping_mul(i.immediate8()));
            set_reg(core, 0, u16::from(new));
            set_flags(core, new, false, false);
        }
        Mnemonic::Salc => set_reg(core, 0, if cf { 0xFFu8 } else { 0 }),
        Mnemonic::Arpl => {
            let target: u16 = read(core, op, ram, i, 0)?;
            let wanted: u16 = read::<u16>(core, op, ram, i, 1)? & 3;
            let raise = target & 3 < wanted;
            if raise {
                write(core, op, ram, i, 0, (target & !3) | wanted)?;
            }
            core.flags.set_zf(raise);
        }
        Mnemonic::Bound => {
            let size = select::operand_size(i, 0) as u64;
            let va = EaAny::ea(core, op);
            let inside = by_size!(size, T => {
                let index = read::<T>(core, op, ram, i, 0)?.sx() as i64;
                let lower = T::of(load_sized(core, op, ram, va, size)?).sx() as i64;
                let upper = T::of(load_sized(core, op, ram, va.wrapping_add(size), size)?).sx() as i64;
                (lower..=upper).contains(&index)
            });
            if !inside {
                return Err(core.raise(op, BOUND_RANGE, 0));
            }
        }
        Mnemonic::Les | Mnemonic::Lds | Mnemonic::Lss | Mnemonic::Lfs | Mnemonic::Lgs => {
            let size = select::operand_size(i, 0) as u64;
            let va = EaAny::ea(core, op);
            let offset = load_sized(core, op, ram, va, size)?;
            let selector = load_sized(core, op, ram, va.wrapping_add(size), 2)? as u16;
            let target = match i.mnemonic() {
                Mnemonic::Les => Register::ES,
                Mnemonic::Lds => Register::DS,
                Mnemonic::Lss => Register::SS,
                Mnemonic::Lfs => Register::FS,
                _ => Register::GS,
            };
            let Some(number) = segment_number(target) else { return Err(core.undefined(op)) };
            load_segment(core, op, number, selector)?;
            by_size!(size, T => write(core, op, ram, i, 0, offset as T))?;
        }
        _ => return Err(core.undefined(op)),
    }
    Ok(())
}

/// SF, ZF and PF of a byte, CF and AF as given, OF clear.
fn set_flags(core: &mut Core, result: u8, carry: bool, half: bool) {
    core.flags.set_carry_overflow(result, carry, false);
    if half {
        let bits = core.flags.bits();
        core.flags.set_bits(bits | flag::AF);
    }
}
