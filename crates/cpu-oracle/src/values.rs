//! Random numbers, and values that find errors: edges of ranges, signs, exponents.
//!
//! Key type: [`Rng`], small, seedable, the same everywhere. Source of the generator: Blackman and Vigna's
//! public-domain xoshiro256** and splitmix64.

/// What an operand's bytes mean, so that its values can be interesting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavor {
    /// Integers of any width.
    Integer,
    /// IEEE single precision.
    Single,
    /// IEEE double precision.
    Double,
    /// The x87 80-bit format.
    Extended,
    /// Eighteen packed decimal digits.
    Decimal,
}

/// A seeded generator of random numbers.
#[derive(Clone)]
pub struct Rng([u64; 4]);

impl Rng {
    /// Seeds the generator.
    pub fn new(seed: u64) -> Self {
        let mut at = seed;
        Self(std::array::from_fn(|_| {
            at = at.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = at;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }))
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `n`, which is not zero.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n.max(1))) >> 64) as u64
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the choices.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// An integer that is often at an edge.
    pub fn integer(&mut self) -> u64 {
        const EDGES: [u64; 24] = [
            0,
            1,
            2,
            u64::MAX,
            u64::MAX - 1,
            0x7F,
            0x80,
            0xFF,
            0x100,
            0x7FFF,
            0x8000,
            0xFFFF,
            0x1_0000,
            0x7FFF_FFFF,
            0x8000_0000,
            0xFFFF_FFFF,
            0x1_0000_0000,
            0x7FFF_FFFF_FFFF_FFFF,
            0x8000_0000_0000_0000,
            0x8000_0000_0000_0001,
            0x5555_5555_5555_5555,
            0xAAAA_AAAA_AAAA_AAAA,
            0x8080_8080_8080_8080,
            0x7FFF_8000_0001_FFFF,
        ];
        match self.below(8) {
            0..=2 => self.pick(&EDGES),
            3 => self.below(256),
            4 => (self.below(256)).wrapping_neg(),
            5 => 1u64 << self.below(64),
            6 => self.bits() >> self.below(64),
            _ => self.bits(),
        }
    }

    /// A single that is often at an edge.
    pub fn single(&mut self) -> u32 {
        let edges = [
            0,
            0x3F80_0000,
            0x3F00_0000,
            0x4000_0000,
            0x3FC0_0000,
            1,
            0x007F_FFFF,
            0x0080_0000,
            0x0080_0001,
            0x7F7F_FFFF,
            0x7F80_0000,
            0x7FC0_0000,
            0x7FC1_2345,
            0x7F80_0001,
            0x7FA5_4321,
            0x4EFF_FFFF,
            0x4F00_0000,
            0x4F80_0000,
            0x5F00_0000,
            0x4B00_0001,
            0x3F7F_FFFF,
            0x3F80_0001,
            0x4020_0000,
        ];
        let sign = ((self.bits() & 1) as u32) << 31;
        sign | match self.below(6) {
            0..=1 => self.pick(&edges),
            2 => (self.bits() as u32) & 0x007F_FFFF,
            3 => 0x3F00_0000 + (self.bits() as u32 & 0x01FF_FFFF),
            4 => ((self.below(1 << 20) as f32) * 0.5).to_bits(),
            _ => self.bits() as u32 & 0x7FFF_FFFF,
        }
    }

    /// A double that is often at an edge.
    pub fn double(&mut self) -> u64 {
        let edges = [
            0,
            0x3FF0_0000_0000_0000,
            0x3FE0_0000_0000_0000,
            0x4000_0000_0000_0000,
            0x3FF8_0000_0000_0000,
            1,
            0x000F_FFFF_FFFF_FFFF,
            0x0010_0000_0000_0000,
            0x0010_0000_0000_0001,
            0x7FEF_FFFF_FFFF_FFFF,
            0x7FF0_0000_0000_0000,
            0x7FF8_0000_0000_0000,
            0x7FF8_1234_5678_9ABC,
            0x7FF0_0000_0000_0001,
            0x7FF5_4321_0000_0000,
            0x41DF_FFFF_FFC0_0000,
            0x41E0_0000_0000_0000,
            0x43E0_0000_0000_0000,
            0x43DF_FFFF_FFFF_FFFF,
            0x36A0_0000_0000_0000,
            0x3810_0000_0000_0000,
            0x380F_FFFF_FFFF_FFFF,
            0x47EF_FFFF_E000_0000,
            0x47EF_FFFF_F000_0000,
            0x3FEF_FFFF_FFFF_FFFF,
            0x3FF0_0000_0000_0001,
            0x4004_0000_0000_0000,
        ];
        let sign = self.bits() << 63;
        sign | match self.below(6) {
            0..=1 => self.pick(&edges),
            2 => self.bits() & 0x000F_FFFF_FFFF_FFFF,
            3 => 0x3FE0_0000_0000_0000 + (self.bits() & 0x003F_FFFF_FFFF_FFFF),
            4 => ((self.below(1 << 33) as f64) * 0.5).to_bits(),
            _ => self.bits() & !(1 << 63),
        }
    }

    /// An 80-bit number: significand, sign and exponent. Also the encodings that the x87 refuses.
    pub fn extended(&mut self) -> (u64, u16) {
        let sign = ((self.bits() & 1) as u16) << 15;
        let top = 1u64 << 63;
        match self.below(16) {
            0 => (0, sign),
            1 => (top, sign | 0x7FFF),
            2 => (top | (1 << 62) | (self.bits() >> 2), sign | 0x7FFF),
            3 => (top | (self.bits() >> 2) | 1, sign | 0x7FFF),
            4 => (self.bits() >> 1, sign),
            5 => (self.pick(&[1, top, top | 1, (1 << 63) - 1]), sign | self.pick(&[0, 1])),
            6 if self.chance(40) => (self.bits() >> 1, sign | self.bits() as u16),
            6 | 7 => (top | self.bits(), sign | self.pick(&[1, 0x7FFE, 0x3FFF, 0x3C01, 0x43FE])),
            8 => {
                let value = self.bits() >> self.below(64);
                let shift = value.leading_zeros().min(63);
                (value << shift | top, sign | (0x3FFF + 63 - shift as u16))
            }
            9..=11 => (top | self.bits(), sign | (0x3FF0 + self.below(32) as u16)),
            12 => (top, sign | (0x3FF0 + self.below(32) as u16)),
            13 => (top | self.bits(), sign | (0x3FBF + self.below(128) as u16)),
            _ => (top | self.bits(), sign | (self.bits() as u16 & 0x7FFF).clamp(1, 0x7FFE)),
        }
    }

    /// Sixteen bytes of a flavor.
    pub fn vector(&mut self, flavor: Flavor) -> u128 {
        match flavor {
            Flavor::Single => (0..4).fold(0, |all, _| all << 32 | u128::from(self.single())),
            Flavor::Double => u128::from(self.double()) << 64 | u128::from(self.double()),
            Flavor::Extended => {
                let (significand, exponent) = self.extended();
                u128::from(exponent) << 64 | u128::from(significand)
            }
            Flavor::Decimal => {
                let digits = (0..9).fold(0u128, |all, _| {
                    all << 8 | u128::from(self.below(10) << 4 | self.below(10))
                });
                let sign = if self.chance(50) { 0x80u128 } else { 0 };
                // Digits above nine have no defined value.
                digits | sign << 72
            }
            Flavor::Integer => match self.below(4) {
                0 => (0..16).fold(0, |all, _| all << 8 | u128::from(self.integer() & 0xFF)),
                1 => (0..8).fold(0, |all, _| all << 16 | u128::from(self.integer() & 0xFFFF)),
                _ => u128::from(self.integer()) << 64 | u128::from(self.integer()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        assert!((0..100).all(|_| a.bits() == b.bits()));
        assert_ne!(Rng::new(8).bits(), Rng::new(7).bits());
    }

    #[test]
    fn decimals_have_decimal_digits() {
        let mut rng = Rng::new(1);
        for _ in 0..100 {
            let value = rng.vector(Flavor::Decimal);
            assert!((0..18).all(|n| (value >> (4 * n)) & 0xF < 10));
        }
    }
}
