//! `RTL_USER_PROCESS_PARAMETERS`: captured from a creator or made by the machine, and written into a new process.

use abi::NtResult;
use abi::ob::UNICODE_STRING;
use abi::ps::params as field;
use abi::status_table::STATUS_INVALID_PARAMETER;
use guest_mem::Va;
use zerocopy::IntoBytes;

use crate::svc::ServiceCx;
use crate::ustr::UnicodeString;

/// `ConsoleHandle` of a process that has no console and must not make one.
pub const CONSOLE_HANDLE_SHELL_NO_WINDOW: u64 = -4i64 as u64;

/// The parameters of a process, independent of where they lie.
#[derive(Clone, Debug, Default)]
pub struct ProcessParameters {
    /// `ConsoleHandle`.
    pub console_handle: u64,
    /// `ConsoleFlags`.
    pub console_flags: u32,
    /// Standard input, output, error.
    pub standard: [u64; 3],
    /// `CurrentDirectory.DosPath`.
    pub current_directory: UnicodeString,
    /// `DllPath`, empty to let user mode compute it.
    pub dll_path: UnicodeString,
    /// DOS path of the image.
    pub image_path: UnicodeString,
    /// The command line.
    pub command_line: UnicodeString,
    /// `A=B\0…\0\0`.
    pub environment: Vec<u16>,
    /// `StartingX` to `WindowFlags` and `ShowWindowFlags`, as raw dwords.
    pub window: [u32; 9],
    /// `WindowTitle`.
    pub window_title: UnicodeString,
    /// `DesktopInfo`.
    pub desktop: UnicodeString,
    /// `ShellInfo`.
    pub shell_info: UnicodeString,
    /// `RuntimeData`: the C run-time's inherited descriptors, any bytes.
    pub runtime_info: Vec<u8>,
    /// `ProcessGroupId`.
    pub process_group: u32,
}

/// Offset of the first raw window dword.
const WINDOW: u64 = 0x88;
/// Bytes of an environment that is accepted.
const MAX_ENVIRONMENT: u64 = 1 << 22;

impl ProcessParameters {
    /// Captures normalized parameters from the caller's memory.
    pub fn capture(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<Self> {
        let word =
            |cx: &mut ServiceCx<'_>, offset: u64| cx.read::<u64>(Va(at.0.wrapping_add(offset)));
        let console_handle = word(cx, field::CONSOLE_HANDLE)?;
        let console_flags = word(cx, field::CONSOLE_FLAGS)? as u32;
        let standard = [
            word(cx, field::STANDARD_INPUT)?,
            word(cx, field::STANDARD_OUTPUT)?,
            word(cx, field::STANDARD_ERROR)?,
        ];
        let environment_at = word(cx, field::ENVIRONMENT)?;
        let environment_size = word(cx, field::ENVIRONMENT_SIZE)?;
        if environment_size > MAX_ENVIRONMENT {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let process_group = word(cx, field::PROCESS_GROUP_ID)? as u32;
        let normalized =
            cx.read::<u32>(Va(at.0.wrapping_add(field::FLAGS)))? & field::NORMALIZED != 0;
        let string = |cx: &mut ServiceCx<'_>, offset: u64| -> NtResult<UnicodeString> {
            let mut raw = cx.read::<UNICODE_STRING>(Va(at.0.wrapping_add(offset)))?;
            if !normalized && raw.Buffer != 0 {
                raw.Buffer = raw.Buffer.wrapping_add(at.0);
            }
            if raw.Buffer == 0 { Ok(UnicodeString::default()) } else { cx.capture_string(&raw) }
        };
        let current_directory = string(cx, field::CURRENT_DIRECTORY)?;
        let dll_path = string(cx, field::DLL_PATH)?;
        let image_path = string(cx, field::IMAGE_PATH_NAME)?;
        let command_line = string(cx, field::COMMAND_LINE)?;
        let window_title = string(cx, field::WINDOW_TITLE)?;
        let desktop = string(cx, field::DESKTOP_INFO)?;
        let shell_info = string(cx, field::SHELL_INFO)?;
        // It looks like a string, but its length may be odd.
        let raw = cx.read::<UNICODE_STRING>(Va(at.0 + field::RUNTIME_INFO))?;
        let base = if normalized { 0 } else { at.0 };
        let runtime_info = match raw.Buffer {
            0 => Vec::new(),
            buffer => cx.read_vec(Va(buffer.wrapping_add(base)), usize::from(raw.Length))?,
        };
        let environment = if environment_at == 0 {
            vec![0, 0]
        } else {
            let bytes = cx.read_vec(Va(environment_at), environment_size as usize)?;
            bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
        };
        let mut window = [0; 9];
        for (index, slot) in window.iter_mut().enumerate() {
            *slot = cx.read::<u32>(Va(at.0.wrapping_add(WINDOW + index as u64 * 4)))?;
        }
        Ok(ProcessParameters {
            console_handle,
            console_flags,
            standard,
            current_directory,
            dll_path,
            image_path,
            command_line,
            environment,
            window,
            window_title,
            desktop,
            shell_info,
            runtime_info,
            process_group,
        })
    }

    /// The block as it lies at `base` in the new process, normalized.
    pub fn to_block(&self, base: Va) -> Vec<u8> {
        let mut block = vec![0u8; field::SIZE as usize];
        let put = |block: &mut Vec<u8>, offset: u64, bytes: &[u8]| {
            let offset = offset as usize;
            if let Some(slot) = block.get_mut(offset..offset + bytes.len()) {
                slot.copy_from_slice(bytes);
            }
        };
        put(&mut block, field::FLAGS, &field::NORMALIZED.to_le_bytes());
        put(&mut block, field::CONSOLE_HANDLE, &self.console_handle.to_le_bytes());
        put(&mut block, field::CONSOLE_FLAGS, &self.console_flags.to_le_bytes());
        put(&mut block, field::STANDARD_INPUT, self.standard.as_bytes());
        put(&mut block, WINDOW, self.window.as_bytes());
        put(&mut block, field::PROCESS_GROUP_ID, &self.process_group.to_le_bytes());
        // The current directory is changed in place, so its buffer has room for the longest classic path.
        const MAX_PATH: usize = 260;
        for (offset, text, room) in [
            (field::CURRENT_DIRECTORY, &self.current_directory, MAX_PATH),
            (field::DLL_PATH, &self.dll_path, 0),
            (field::IMAGE_PATH_NAME, &self.image_path, 0),
            (field::COMMAND_LINE, &self.command_line, 0),
            (field::WINDOW_TITLE, &self.window_title, 0),
            (field::DESKTOP_INFO, &self.desktop, 0),
            (field::SHELL_INFO, &self.shell_info, 0),
        ] {
            // C runtimes read what RuntimeInfo holds if it has any room.
            if text.is_empty() && [field::DLL_PATH, field::RUNTIME_INFO].contains(&offset) {
                continue;
            }
            let units = room.max(text.len() + 1);
            let string = UNICODE_STRING {
                Length: (text.len() * 2) as u16,
                MaximumLength: (units * 2) as u16,
                _pad: 0,
                Buffer: base.0 + block.len() as u64,
            };
            put(&mut block, offset, string.as_bytes());
            let end = block.len() + (units * 2).next_multiple_of(8);
            block.extend(text.iter().flat_map(|unit| unit.to_le_bytes()));
            block.resize(end, 0);
        }
        if !self.runtime_info.is_empty() {
            let size = self.runtime_info.len() as u16;
            let string = UNICODE_STRING {
                Length: size,
                MaximumLength: size,
                _pad: 0,
                Buffer: base.0 + block.len() as u64,
            };
            put(&mut block, field::RUNTIME_INFO, string.as_bytes());
            block.extend_from_slice(&self.runtime_info);
            block.resize(block.len().next_multiple_of(8), 0);
        }
        let length = block.len() as u32;
        put(&mut block, field::ENVIRONMENT, &(base.0 + u64::from(length)).to_le_bytes());
        let size = self.environment.len() as u64 * 2;
        put(&mut block, field::ENVIRONMENT_SIZE, &size.to_le_bytes());
        put(&mut block, field::MAXIMUM_LENGTH, &length.to_le_bytes());
        put(&mut block, field::LENGTH, &length.to_le_bytes());
        block.extend(self.environment.iter().flat_map(|unit| unit.to_le_bytes()));
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_point_into_the_block() {
        let params = ProcessParameters {
            command_line: "a b".into(),
            runtime_info: vec![1, 2, 3],
            environment: "X=1\0\0".encode_utf16().collect(),
            ..ProcessParameters::default()
        };
        let base = 0x10_0000;
        let block = params.to_block(Va(base));
        let at = |offset: u64| {
            u64::from_le_bytes(block[offset as usize..offset as usize + 8].try_into().unwrap())
        };
        let text = (at(field::COMMAND_LINE + 8) - base) as usize;
        assert_eq!(&block[text..text + 8], b"a\0 \0b\0\0\0");
        assert_eq!(at(field::COMMAND_LINE) as u32 & 0xFFFF, 6);
        let environment = (at(field::ENVIRONMENT) - base) as usize;
        assert_eq!(&block[environment..environment + 6], b"X\0=\x001\0");
        assert_eq!(at(field::DLL_PATH + 8), 0);
        let runtime = (at(field::RUNTIME_INFO + 8) - base) as usize;
        assert_eq!(at(field::RUNTIME_INFO) as u32, 0x3_0003);
        assert_eq!(block[runtime..runtime + 4], [1, 2, 3, 0]);
    }
}
