//! The 512-byte FXSAVE image: what contexts and thread switches carry of the floating-point state.
//!
//! Layout: Intel SDM volume 1, 10.5.1 (64-bit form). Neighbours: [`crate::state`], [`crate::fp`].

use crate::fp::x87::FXSAVE_X87;
use crate::state::CpuState;

/// MXCSR bits that may be set.
pub(crate) const MXCSR_MASK: u32 = 0xFFFF;

/// Bytes of the image that FXSAVE writes.
pub(crate) const FXSAVE_WRITTEN: usize = 416;

/// The same outside 64-bit code, which has eight XMM registers.
pub(crate) const FXSAVE_WRITTEN_32: usize = 288;

const MXCSR: usize = 24;
const MXCSR_MASK_AT: usize = 28;
const XMM: usize = 160;

impl CpuState {
    /// The image that FXSAVE stores: the form with 32-bit pointers and selectors, as NT's contexts have it.
    pub fn write_fxsave(&self) -> [u8; 512] {
        self.fxsave(false)
    }

    /// Takes an image that FXRSTOR loads. False, with nothing changed, if it sets a reserved bit of MXCSR.
    #[must_use]
    pub fn read_fxsave(&mut self, image: &[u8; 512]) -> bool {
        self.fxrstor(image, false)
    }

    /// [`CpuState::write_fxsave`], or with `wide` the form with 64-bit pointers.
    pub(crate) fn fxsave(&self, wide: bool) -> [u8; 512] {
        let mut image = [0; 512];
        image[..FXSAVE_X87].copy_from_slice(&self.fpu.fxsave(wide));
        image[MXCSR..MXCSR + 4].copy_from_slice(&self.mxcsr.to_le_bytes());
        image[MXCSR_MASK_AT..MXCSR_MASK_AT + 4].copy_from_slice(&MXCSR_MASK.to_le_bytes());
        for (slot, value) in image[XMM..XMM + 256].chunks_exact_mut(16).zip(self.xmm) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        image
    }

    /// [`CpuState::read_fxsave`], or with `wide` the form with 64-bit pointers.
    pub(crate) fn fxrstor(&mut self, image: &[u8; 512], wide: bool) -> bool {
        let mxcsr = u32::from_le_bytes([
            image[MXCSR],
            image[MXCSR + 1],
            image[MXCSR + 2],
            image[MXCSR + 3],
        ]);
        if mxcsr & !MXCSR_MASK != 0 {
            return false;
        }
        self.mxcsr = mxcsr;
        let mut x87 = [0; FXSAVE_X87];
        x87.copy_from_slice(&image[..FXSAVE_X87]);
        self.fpu.fxrstor(&x87, wide);
        for (slot, value) in image[XMM..XMM + 256].chunks_exact(16).zip(&mut self.xmm) {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(slot);
            *value = u128::from_le_bytes(bytes);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_restores_what_it_saved() {
        let mut cpu = CpuState::default();
        for (index, register) in cpu.xmm.iter_mut().enumerate() {
            *register = (index as u128) << 100 | 0x1234;
        }
        cpu.mxcsr = 0x7F80;
        cpu.fpu.write_mm(3, 0x55);
        cpu.fpu.enter_mmx();
        let image = cpu.write_fxsave();
        let mut other = CpuState::default();
        assert!(other.read_fxsave(&image));
        assert_eq!(other.write_fxsave(), image);
        assert_eq!((other.xmm, other.mxcsr), (cpu.xmm, cpu.mxcsr));
    }

    #[test]
    fn reserved_bits_are_refused() {
        let mut image = CpuState::default().write_fxsave();
        image[MXCSR + 2] = 1;
        let mut cpu = CpuState::default();
        assert!(!cpu.read_fxsave(&image));
        assert_eq!(cpu.mxcsr, CpuState::default().mxcsr);
    }
}
