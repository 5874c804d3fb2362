//! Questions about an instruction that did not execute: for exception codes and messages.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

fn decode(bytes: &[u8]) -> Option<Instruction> {
    let instruction = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// True if the bytes start with a 64-bit instruction that only CPL 0 may execute.
pub fn is_privileged_instruction(bytes: &[u8]) -> bool {
    decode(bytes).is_some_and(|instruction| instruction.is_privileged())
}

/// The disassembly of a 64-bit instruction that exists, so that #UD on it means that the emulator lacks it; `None` for
/// bytes that no processor executes, UD0 to UD2 among them.
pub fn describe_unsupported(bytes: &[u8]) -> Option<String> {
    use iced_x86::Mnemonic;
    let instruction = decode(bytes)?;
    if matches!(instruction.mnemonic(), Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2) {
        return None;
    }
    let mut text = String::new();
    IntelFormatter::new().format(&instruction, &mut text);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_and_unknown_instructions_are_told_apart() {
        assert!(is_privileged_instruction(&[0xF4]));
        assert!(!is_privileged_instruction(&[0x90]));
        assert_eq!(describe_unsupported(&[0x0F, 0x0B]), None);
        assert_eq!(describe_unsupported(&[0xC5, 0xF8, 0x77]).as_deref(), Some("vzeroupper"));
    }
}
