//! The 512-byte FXSAVE image: what contexts and thread switches carry of the floating-point state.
//!
//! Layout: Intel SDM volume 1, 10.5.1 (64-bit form). Neighbours: [`crate::state`], [`crate::fp`].

use crate::state::CpuState;

/// MXCSR bits that may be set.
pub(crate) const MXCSR_MASK: u32 = 0xFFFF;

const MXCSR: usize = 24;
const MXCSR_MASK_AT: usize = 28;
const XMM: usize = 160;

impl CpuState {
    /// The image that FXSAVE stores.
    pub fn write_fxsave(&self) -> [u8; 512] {
        let mut image = [0; 512];
        // The x87 unit in its state after FNINIT.
        image[..2].copy_from_slice(&0x37Fu16.to_le_bytes());
        image[MXCSR..MXCSR + 4].copy_from_slice(&self.mxcsr.to_le_bytes());
        image[MXCSR_MASK_AT..MXCSR_MASK_AT + 4].copy_from_slice(&MXCSR_MASK.to_le_bytes());
        for (slot, value) in image[XMM..XMM + 256].chunks_exact_mut(16).zip(self.xmm) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        image
    }

    /// Takes an image that FXRSTOR loads. False, with nothing changed, if it sets a reserved bit of MXCSR.
    #[must_use]
    pub fn read_fxsave(&mut self, image: &[u8; 512]) -> bool {
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
        let image = cpu.write_fxsave();
        let mut other = CpuState::default();
        assert!(other.read_fxsave(&image));
        assert_eq!(other, cpu);
    }

    #[test]
    fn reserved_bits_are_refused() {
        let mut image = CpuState::default().write_fxsave();
        image[MXCSR + 2] = 1;
        let mut cpu = CpuState::default();
        assert!(!cpu.read_fxsave(&image));
        assert_eq!(cpu, CpuState::default());
    }
}
