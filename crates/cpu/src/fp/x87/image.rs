//! The memory images of the unit: `FSTENV`, `FSAVE` and `FXSAVE`, and their loads.
//!
//! The 16- and 32-bit images are the protected-mode ones. Tags in them are computed from
//! the registers, as the hardware does; on loading, only "empty" matters.

use super::op::Width;
use super::value::F80;
use super::{Fpu, MAX_STORE, Origin};
use crate::fp::soft::Class;

/// The legacy x87 part of an `FXSAVE` image.
pub const FXSAVE_X87: usize = 160;

/// Reads a little-endian number of up to eight bytes; missing bytes are zero.
pub(super) fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let field = bytes.iter().skip(at).take(size);
    field.rev().fold(0, |acc, &b| (acc << 8) | u64::from(b))
}

fn extended(bytes: &[u8], at: usize) -> F80 {
    F80 { mantissa: number(bytes, at, 8), sign_exponent: number(bytes, at + 8, 2) as u16 }
}

fn put(out: &mut [u8], at: usize, value: u64, size: usize) {
    for (o, b) in out.iter_mut().skip(at).take(size).zip(value.to_le_bytes()) {
        *o = b;
    }
}

impl Fpu {
    /// The full tag word: two bits for each physical register.
    pub fn tag_word(&self) -> u16 {
        (0..8).rev().fold(0, |acc, i| {
            let tag = if self.valid >> i & 1 == 0 {
                3
            } else {
                match self.regs[i].unpack().class {
                    Class::Normal => 0,
                    Class::Zero => 1,
                    _ => 2,
                }
            };
            (acc << 2) | tag
        })
    }

    /// Sets which registers are empty from a full tag word.
    pub fn set_tag_word(&mut self, tags: u16) {
        self.valid = (0..8).fold(0, |acc, i| acc | u8::from(tags >> (2 * i) & 3 != 3) << i);
    }

    /// Writes the environment; returns its size.
    pub(super) fn store_environment(&self, width: Width, out: &mut [u8; MAX_STORE]) -> usize {
        let words = [self.control, self.status_word(), self.tag_word()].map(u64::from);
        let Origin { ip, cs, dp, ds, opcode } = self.last;
        match width {
            Width::Bits16 => {
                let fields = [words[0], words[1], words[2], ip, cs.into(), dp, ds.into()];
                for (i, field) in fields.into_iter().enumerate() {
                    put(out, 2 * i, field, 2);
                }
                14
            }
            Width::Bits32 => {
                for (i, field) in words.into_iter().enumerate() {
                    put(out, 4 * i, field | 0xFFFF_0000, 4);
                }
                put(out, 12, ip, 4);
                put(out, 16, u64::from(cs) | u64::from(opcode & 0x7FF) << 16, 4);
                put(out, 20, dp, 4);
                put(out, 24, u64::from(ds) | 0xFFFF_0000, 4);
                28
            }
        }
    }

    /// Loads the environment; returns its size.
    pub(super) fn load_environment(&mut self, width: Width, memory: &[u8]) -> usize {
        let step = if width == Width::Bits16 { 2 } else { 4 };
        let word = |i: usize| number(memory, step * i, 2) as u16;
        let pointer = |i: usize| number(memory, step * i, step);
        self.control = (word(0) & 0x1F3F) | 0x40;
        self.set_status_word(word(1));
        self.set_tag_word(word(2));
        let opcode = if width == Width::Bits16 { 0 } else { (pointer(4) >> 16) as u16 & 0x7FF };
        self.last = Origin { ip: pointer(3), cs: word(4), dp: pointer(5), ds: word(6), opcode };
        7 * step
    }

    /// Writes the whole state; returns its size.
    pub(super) fn save(&self, width: Width, out: &mut [u8; MAX_STORE]) -> usize {
        let mut at = self.store_environment(width, out);
        for i in 0..8 {
            let value = self.regs[self.physical(i)];
            put(out, at, value.mantissa, 8);
            put(out, at + 8, u64::from(value.sign_exponent), 2);
            at += 10;
        }
        at
    }

    /// Loads the whole state.
    pub(super) fn restore(&mut self, width: Width, memory: &[u8]) {
        let at = self.load_environment(width, memory);
        for i in 0..8u8 {
            let to = self.physical(i);
            self.regs[to] = extended(memory, at + 10 * usize::from(i));
        }
    }

    /// The x87 part of an `FXSAVE` image. Bytes 24 to 31 (MXCSR and its mask) are zero:
    /// the core fills them. `wide` is the `FXSAVE64` form, with 64-bit pointers.
    pub fn fxsave(&self, wide: bool) -> [u8; FXSAVE_X87] {
        let mut out = [0; FXSAVE_X87];
        put(&mut out, 0, self.control.into(), 2);
        put(&mut out, 2, self.status_word().into(), 2);
        put(&mut out, 4, self.valid.into(), 1);
        put(&mut out, 6, self.last.opcode.into(), 2);
        if wide {
            put(&mut out, 8, self.last.ip, 8);
            put(&mut out, 16, self.last.dp, 8);
        } else {
            put(&mut out, 8, self.last.ip, 4);
            put(&mut out, 12, self.last.cs.into(), 2);
            put(&mut out, 16, self.last.dp, 4);
            put(&mut out, 20, self.last.ds.into(), 2);
        }
        for i in 0..8u8 {
            let value = self.regs[self.physical(i)];
            let at = 32 + 16 * usize::from(i);
            put(&mut out, at, value.mantissa, 8);
            put(&mut out, at + 8, value.sign_exponent.into(), 2);
        }
        out
    }

    /// Loads the x87 part of an `FXRSTOR` image.
    pub fn fxrstor(&mut self, image: &[u8; FXSAVE_X87], wide: bool) {
        self.control = (number(image, 0, 2) as u16 & 0x1F3F) | 0x40;
        self.set_status_word(number(image, 2, 2) as u16);
        self.valid = image[4];
        let opcode = number(image, 6, 2) as u16 & 0x7FF;
        self.last = if wide {
            Origin { ip: number(image, 8, 8), cs: 0, dp: number(image, 16, 8), ds: 0, opcode }
        } else {
            Origin {
                ip: number(image, 8, 4),
                cs: number(image, 12, 2) as u16,
                dp: number(image, 16, 4),
                ds: number(image, 20, 2) as u16,
                opcode,
            }
        };
        for i in 0..8u8 {
            let to = self.physical(i);
            self.regs[to] = extended(image, 32 + 16 * usize::from(i));
        }
    }
}
