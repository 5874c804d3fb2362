//! Arithmetic flags, computed when they are asked for.
//!
//! [`Flags`] keeps a sign-extended result and a word of carries instead of the six flags: an operation stores two
//! words, and each flag is a few operations away, whatever the operation and its width were. Neighbours:
//! [`crate::exec`] writes it, [`crate::state::flag`] names the bits.

use crate::state::flag;

/// The carry out of the top bit: CF.
const CARRY: u64 = 1 << 63;
/// The carry into the top bit: OF is this bit different from [`CARRY`].
const PARTIAL: u64 = 1 << 62;
/// The carry out of bit 3: AF.
const HALF: u64 = 1 << 3;
/// Bits 8 to 15: differs from the result where PF does not follow from it.
const PARITY_SHIFT: u32 = 8;
/// SF is the opposite of the result's sign.
const SIGN_DELTA: u64 = 1;
/// What an addition's carry word may keep.
const KEEP: u64 = CARRY | PARTIAL | HALF;

/// The six status flags in lazy form.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// ZF is set if this is zero; SF is its top bit; PF is the parity of its low byte.
    result: u64,
    aux: u64,
}

/// An operand width of 8, 16, 32 or 64 bits.
pub(crate) trait Int: Copy + 'static {
    /// Bits of the type.
    const BITS: u32;
    /// Bytes of the type.
    const BYTES: u64 = (Self::BITS / 8) as u64;
    /// The low bits of a word.
    fn of(value: u64) -> Self;
    /// Zero-extends.
    fn zx(self) -> u64;
    /// Sign-extends.
    fn sx(self) -> u64;
}

macro_rules! int {
    ($($unsigned:ty, $signed:ty;)*) => {$(
        impl Int for $unsigned {
            const BITS: u32 = <$unsigned>::BITS;
            #[inline(always)]
            fn of(value: u64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn zx(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn sx(self) -> u64 {
                self as $signed as i64 as u64
            }
        }
    )*};
}
int! { u8, i8; u16, i16; u32, i32; u64, i64; }

/// Places the two top carries and the half carry of a width-N carry vector where [`Flags`] keeps them.
#[inline(always)]
fn place<T: Int>(carries: u64) -> u64 {
    if T::BITS == 64 {
        carries & KEEP
    } else {
        // The bits between are garbage of the low half; only the kept ones count.
        ((carries << (64 - T::BITS)) & (CARRY | PARTIAL)) | (carries & HALF)
    }
}

impl Flags {
    /// After AND, OR, XOR, TEST: CF, OF and AF are clear.
    #[inline(always)]
    pub fn set_logic<T: Int>(&mut self, result: T) {
        self.result = result.sx();
        self.aux = 0;
    }

    /// After `a + b (+ carry)`.
    #[inline(always)]
    pub fn set_add<T: Int>(&mut self, a: T, b: T, result: T) {
        let (a, b, r) = (a.zx(), b.zx(), result.zx());
        self.result = result.sx();
        self.aux = place::<T>((a & b) | ((a | b) & !r));
    }

    /// After `a - b (- borrow)`.
    #[inline(always)]
    pub fn set_sub<T: Int>(&mut self, a: T, b: T, result: T) {
        let (a, b, r) = (a.zx(), b.zx(), result.zx());
        self.result = result.sx();
        self.aux = place::<T>((!a & b) | ((!a | b) & r));
    }

    /// After INC (`increment`) or DEC: CF stays.
    #[inline(always)]
    pub fn set_inc_dec<T: Int>(&mut self, result: T, increment: bool) {
        let sign = 1u64 << (T::BITS - 1);
        let edge = if increment { sign } else { sign - 1 };
        let low = if increment { 0 } else { 0xF };
        let carry = self.aux & CARRY;
        let overflow = if result.zx() == edge { PARTIAL } else { 0 };
        let half = if result.zx() & 0xF == low { HALF } else { 0 };
        self.result = result.sx();
        self.aux = carry | (((carry >> 1) & PARTIAL) ^ overflow) | half;
    }

    /// Sets SF, ZF and PF from a result, CF and OF as given, and clears AF (shifts, multiplications).
    #[inline(always)]
    pub fn set_carry_overflow<T: Int>(&mut self, result: T, carry: bool, overflow: bool) {
        self.result = result.sx();
        self.aux = carry_bits(carry, overflow);
    }

    /// Changes CF and OF alone (rotates).
    #[inline(always)]
    pub fn replace_carry_overflow(&mut self, carry: bool, overflow: bool) {
        self.aux = (self.aux & !(CARRY | PARTIAL)) | carry_bits(carry, overflow);
    }

    /// Changes CF alone.
    #[inline(always)]
    pub fn set_cf(&mut self, carry: bool) {
        let overflow = self.of();
        self.replace_carry_overflow(carry, overflow);
    }

    /// Changes ZF alone.
    pub fn set_zf(&mut self, zero: bool) {
        let now = self.bits();
        self.set_bits(if zero { now | flag::ZF } else { now & !flag::ZF });
    }

    /// CF.
    #[inline(always)]
    pub fn cf(&self) -> bool {
        self.aux & CARRY != 0
    }

    /// OF.
    #[inline(always)]
    pub fn of(&self) -> bool {
        (self.aux ^ (self.aux << 1)) & CARRY != 0
    }

    /// ZF.
    #[inline(always)]
    pub fn zf(&self) -> bool {
        self.result == 0
    }

    /// SF.
    #[inline(always)]
    pub fn sf(&self) -> bool {
        ((self.result >> 63) ^ self.aux) & SIGN_DELTA != 0
    }

    /// PF.
    #[inline(always)]
    pub fn pf(&self) -> bool {
        ((self.result ^ (self.aux >> PARITY_SHIFT)) as u8).count_ones() & 1 == 0
    }

    /// AF.
    #[inline(always)]
    pub fn af(&self) -> bool {
        self.aux & HALF != 0
    }

    /// The six flags at their places in RFLAGS.
    pub fn bits(&self) -> u64 {
        let pick = |set: bool, bit: u64| if set { bit } else { 0 };
        pick(self.cf(), flag::CF)
            | pick(self.pf(), flag::PF)
            | pick(self.af(), flag::AF)
            | pick(self.zf(), flag::ZF)
            | pick(self.sf(), flag::SF)
            | pick(self.of(), flag::OF)
    }

    /// Sets the six flags from their places in RFLAGS.
    #[inline]
    pub fn set_bits(&mut self, bits: u64) {
        // A nonzero stand-in for ZF = 0 has odd parity and no sign.
        let result = u64::from(bits & flag::ZF == 0);
        let natural_pf = result == 0;
        let mut aux = carry_bits(bits & flag::CF != 0, bits & flag::OF != 0);
        if bits & flag::AF != 0 {
            aux |= HALF;
        }
        if bits & flag::SF != 0 {
            aux |= SIGN_DELTA;
        }
        if (bits & flag::PF != 0) != natural_pf {
            aux |= 1 << PARITY_SHIFT;
        }
        *self = Self { result, aux };
    }

    /// The condition with the number that Jcc, SETcc and CMOVcc encode.
    #[inline(always)]
    pub fn condition<const C: u8>(&self) -> bool {
        let holds = match C >> 1 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() || self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() || self.sf() != self.of(),
        };
        holds != (C & 1 == 1)
    }
}

#[inline(always)]
fn carry_bits(carry: bool, overflow: bool) -> u64 {
    (u64::from(carry) << 63) | (u64::from(carry != overflow) << 62)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_survives_a_round_trip() {
        for pattern in 0..64u64 {
            let mut bits = 0;
            for (index, bit) in
                [flag::CF, flag::PF, flag::AF, flag::ZF, flag::SF, flag::OF].into_iter().enumerate()
            {
                if pattern >> index & 1 == 1 {
                    bits |= bit;
                }
            }
            let mut flags = Flags::default();
            flags.set_bits(bits);
            assert_eq!(flags.bits(), bits);
        }
    }

    /// All additions and subtractions of bytes against the definitions.
    #[test]
    fn byte_sums_and_differences_have_the_defined_flags() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let mut flags = Flags::default();
                let sum = a.wrapping_add(b);
                flags.set_add(a, b, sum);
                assert_eq!(flags.cf(), a.checked_add(b).is_none());
                assert_eq!(flags.of(), (a as i8).checked_add(b as i8).is_none());
                assert_eq!(flags.af(), (a & 15) + (b & 15) > 15);
                assert_eq!(flags.zf(), sum == 0);
                assert_eq!(flags.sf(), sum >= 128);
                assert_eq!(flags.pf(), sum.count_ones() % 2 == 0);
                let difference = a.wrapping_sub(b);
                flags.set_sub(a, b, difference);
                assert_eq!(flags.cf(), a < b);
                assert_eq!(flags.of(), (a as i8).checked_sub(b as i8).is_none());
                assert_eq!(flags.af(), a & 15 < b & 15);
                let (unsigned, signed) = (a.cmp(&b), (a as i8).cmp(&(b as i8)));
                assert_eq!(flags.condition::<2>(), unsigned.is_lt());
                assert_eq!(flags.condition::<7>(), unsigned.is_gt());
                assert_eq!(flags.condition::<12>(), signed.is_lt());
                assert_eq!(flags.condition::<15>(), signed.is_gt());
            }
        }
    }

    #[test]
    fn increments_keep_carry() {
        for carry in [false, true] {
            for value in 0..=255u8 {
                let mut flags = Flags::default();
                flags.set_cf(carry);
                let result = value.wrapping_add(1);
                flags.set_inc_dec(result, true);
                assert_eq!((flags.cf(), flags.of()), (carry, value == 127));
                assert_eq!(flags.af(), value & 15 == 15);
                let result = value.wrapping_sub(1);
                flags.set_inc_dec(result, false);
                assert_eq!((flags.cf(), flags.of()), (carry, value == 128));
                assert_eq!(flags.af(), value & 15 == 0);
            }
        }
    }
}
