//! The control codes of `\Device\ConDrv` and the structures behind them.
//!
//! Sources: observation of the requests that the userland's `kernelbase` makes; `INPUT_RECORD` and the mode bits are
//! those of Microsoft Learn.

use super::keys::Key;

pub const GET_MODE: u32 = 0x50_4000;
pub const SET_MODE: u32 = 0x50_8004;
pub const IS_UNIX: u32 = 0x50_0008;
pub const READ_CONSOLE: u32 = 0x50_4028;
pub const READ_FILE: u32 = 0x50_402C;
pub const READ_INPUT: u32 = 0x50_4030;
pub const WRITE_INPUT: u32 = 0x50_8034;
pub const PEEK: u32 = 0x50_4038;
pub const GET_INPUT_INFO: u32 = 0x50_403C;
pub const SET_INPUT_INFO: u32 = 0x50_8040;
pub const GET_TITLE: u32 = 0x50_4044;
pub const SET_TITLE: u32 = 0x50_8048;
pub const CTRL_EVENT: u32 = 0x50_004C;
pub const BEEP: u32 = 0x50_0050;
pub const FLUSH: u32 = 0x50_0054;
pub const GET_WINDOW: u32 = 0x50_0058;
pub const GET_PROCESS_LIST: u32 = 0x50_005C;
pub const READ_CONSOLE_CONTROL: u32 = 0x50_4060;
pub const GET_INPUT_COUNT: u32 = 0x50_4064;
pub const WRITE_CONSOLE: u32 = 0x50_8078;
pub const WRITE_FILE: u32 = 0x50_807C;
pub const READ_OUTPUT: u32 = 0x50_4080;
pub const WRITE_OUTPUT: u32 = 0x50_8084;
pub const GET_OUTPUT_INFO: u32 = 0x50_4088;
pub const SET_OUTPUT_INFO: u32 = 0x50_808C;
pub const ACTIVATE: u32 = 0x50_8090;
pub const FILL_OUTPUT: u32 = 0x50_8094;
pub const SCROLL: u32 = 0x50_8098;

/// `ENABLE_PROCESSED_INPUT`: Ctrl-C is an event.
pub const PROCESSED_INPUT: u32 = 1;
/// `ENABLE_LINE_INPUT`.
pub const LINE_INPUT: u32 = 2;
/// `ENABLE_ECHO_INPUT`.
pub const ECHO_INPUT: u32 = 4;
/// `ENABLE_WINDOW_INPUT`: another size is an input record.
pub const WINDOW_INPUT: u32 = 8;
/// `ENABLE_VIRTUAL_TERMINAL_INPUT`: keys come as the terminal sends them.
pub const VT_INPUT: u32 = 0x200;
/// The input mode of a fresh console: processed, line, echo, insert, quick edit, extended, automatic position, mouse.
pub const DEFAULT_INPUT_MODE: u32 = 0x1F7;

/// `CTRL_C_EVENT`.
pub const CTRL_C: u32 = 0;
/// `CTRL_BREAK_EVENT`.
pub const CTRL_BREAK: u32 = 1;

const KEY_EVENT: u16 = 1;
const WINDOW_BUFFER_SIZE_EVENT: u16 = 4;

/// An `INPUT_RECORD` as it lies in memory.
pub type Record = [u8; 20];

/// The `KEY_EVENT` of a key going down or up.
pub fn key_record(key: Key, down: bool) -> Record {
    let mut record = Record::default();
    let (repeat, down) = (1u16, u32::from(down));
    put(&mut record, 0, &KEY_EVENT.to_le_bytes());
    put(&mut record, 4, &down.to_le_bytes());
    put(&mut record, 8, &repeat.to_le_bytes());
    put(&mut record, 10, &key.code.to_le_bytes());
    put(&mut record, 12, &key.scan.to_le_bytes());
    put(&mut record, 14, &key.unit.to_le_bytes());
    put(&mut record, 16, &key.state.to_le_bytes());
    record
}

/// The key that goes down in a record, if it is such a record.
pub fn pressed(record: &Record) -> Option<Key> {
    let is_key = short(record, 0) == KEY_EVENT && record.get(4).is_some_and(|down| *down != 0);
    is_key.then(|| Key {
        code: short(record, 10),
        scan: short(record, 12),
        unit: short(record, 14),
        state: u32::from(short(record, 16)),
    })
}

/// The `WINDOW_BUFFER_SIZE_EVENT` of a size.
pub fn size_record(width: usize, height: usize) -> Record {
    let mut record = Record::default();
    put(&mut record, 0, &WINDOW_BUFFER_SIZE_EVENT.to_le_bytes());
    put(&mut record, 4, &(width as u16).to_le_bytes());
    put(&mut record, 6, &(height as u16).to_le_bytes());
    record
}

/// A 16-bit field; 0 beyond the end.
pub fn short(bytes: &[u8], at: usize) -> u16 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
    field.map_or(0, |field| u16::from_le_bytes(*field))
}

/// A 32-bit field.
pub fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    field.map(|field| u32::from_le_bytes(*field))
}

/// Writes a field.
pub fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(slot) = bytes.get_mut(at..at + field.len()) {
        slot.copy_from_slice(field);
    }
}

/// The units of a text in memory.
pub fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
}

/// A text as it lies in memory.
pub fn bytes(units: &[u16]) -> Vec<u8> {
    units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_hold_keys() {
        let key = Key { code: 0x41, scan: 0x1E, unit: 0x61, state: 8 };
        assert_eq!(pressed(&key_record(key, true)), Some(key));
        assert_eq!(pressed(&key_record(key, false)), None);
        assert_eq!(pressed(&size_record(80, 25)), None);
    }
}
