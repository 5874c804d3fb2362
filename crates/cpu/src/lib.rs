//! The processor interface.

pub mod engine;
pub mod state;
/// The x87 unit.
pub mod fp {
    /// The x87 unit.
    #[derive(Clone, Debug, PartialEq, Default)]
    pub struct Fpu;
}

pub use engine::{Clock, Engine, Exit};
pub use state::{CpuState, flag, reg, sreg};

impl CpuState {
    /// The 512-byte FXSAVE image.
    pub fn write_fxsave(&self) -> [u8; 512] {
        [0; 512]
    }

    /// Loads a 512-byte FXSAVE image.
    pub fn read_fxsave(&mut self, _image: &[u8; 512]) {}
}

/// True if the bytes start with an instruction that only CPL 0 may execute.
pub fn is_privileged_instruction(_bytes: &[u8]) -> bool {
    false
}

/// The disassembly of an instruction that exists but that the emulator lacks.
pub fn describe_unsupported(_bytes: &[u8]) -> Option<String> {
    None
}
