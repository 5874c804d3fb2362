//! From what a terminal sends to key events.
//!
//! Key types: [`Key`] (a key with its character, a virtual key code and the state of the control keys), [`Decoder`].
//! An escape that is the last byte of what arrived is the Escape key: terminals send sequences in one piece.
//! Virtual key codes and `dwControlKeyState` are those of Microsoft Learn; scan codes those of a US keyboard.

/// `LEFT_ALT_PRESSED`.
pub const ALT: u32 = 2;
/// `LEFT_CTRL_PRESSED` and `RIGHT_CTRL_PRESSED`.
pub const ANY_CONTROL: u32 = 0xC;
/// `LEFT_CTRL_PRESSED`.
pub const CONTROL: u32 = 8;
/// `SHIFT_PRESSED`.
pub const SHIFT: u32 = 0x10;
/// `ENHANCED_KEY`.
const ENHANCED: u32 = 0x100;

pub const VK_BACK: u16 = 0x08;
pub const VK_TAB: u16 = 0x09;
pub const VK_RETURN: u16 = 0x0D;
pub const VK_ESCAPE: u16 = 0x1B;
pub const VK_PRIOR: u16 = 0x21;
pub const VK_NEXT: u16 = 0x22;
pub const VK_END: u16 = 0x23;
pub const VK_HOME: u16 = 0x24;
pub const VK_LEFT: u16 = 0x25;
pub const VK_UP: u16 = 0x26;
pub const VK_RIGHT: u16 = 0x27;
pub const VK_DOWN: u16 = 0x28;
pub const VK_INSERT: u16 = 0x2D;
pub const VK_DELETE: u16 = 0x2E;
const VK_CANCEL: u16 = 0x03;
const VK_F1: u16 = 0x70;

/// A key that was pressed and let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Key {
    /// The virtual key code.
    pub code: u16,
    /// The scan code.
    pub scan: u16,
    /// The UTF-16 unit that it types, or 0.
    pub unit: u16,
    /// `dwControlKeyState`.
    pub state: u32,
}

/// What was typed: keys, and what the terminal sent for each, for `ENABLE_VIRTUAL_TERMINAL_INPUT`.
pub type Typed = (Vec<Key>, Vec<u16>);

/// Bytes that wait for the rest of a character.
#[derive(Default)]
pub struct Decoder {
    rest: Vec<u8>,
}

impl Decoder {
    /// Decodes what arrived; an incomplete UTF-8 character stays for the next time.
    pub fn decode(&mut self, bytes: &[u8]) -> Vec<Typed> {
        self.rest.extend(bytes);
        let all = std::mem::take(&mut self.rest);
        let mut typed = Vec::new();
        let mut at = all.as_slice();
        while let [first, tail @ ..] = at {
            let used = if *first == 0x1B && !tail.is_empty() {
                let (used, key) = escape(tail);
                let sequence = at.get(..=used).unwrap_or_default();
                let raw = String::from_utf8_lossy(sequence).encode_utf16().collect();
                // A sequence that is no key goes to those who read VT input.
                typed.push((key.into_iter().collect(), raw));
                used + 1
            } else {
                let length = utf8_length(*first);
                if at.len() < length {
                    self.rest = at.to_vec();
                    break;
                }
                let text = String::from_utf8_lossy(at.get(..length).unwrap_or_default());
                for character in text.chars() {
                    let units: Vec<u16> =
                        character.encode_utf16(&mut [0; 2]).iter().copied().collect();
                    typed.push((units.iter().map(|unit| key_of(*unit)).collect(), units));
                }
                length
            };
            at = at.get(used..).unwrap_or_default();
        }
        typed
    }
}

fn utf8_length(first: u8) -> usize {
    match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    }
}

/// The key behind an escape, and how many bytes after it belong to it.
fn escape(tail: &[u8]) -> (usize, Option<Key>) {
    match tail {
        [b'[' | b'O', rest @ ..] => {
            let is_end = |byte: &u8| (0x40..=0x7E).contains(byte);
            let Some(length) = rest.iter().position(is_end) else {
                // Escape and a bracket by themselves: Alt with the bracket.
                return (1, tail.first().map(|byte| with_alt(*byte)));
            };
            let parameters = rest.get(..length).unwrap_or_default();
            let end = rest.get(length).copied().unwrap_or_default();
            (length + 2, sequence(parameters, end))
        }
        [byte, ..] if byte.is_ascii() && *byte != 0x1B => (1, Some(with_alt(*byte))),
        _ => (0, Some(key_of(0x1B))),
    }
}

fn with_alt(byte: u8) -> Key {
    let key = key_of(u16::from(byte));
    Key { state: key.state | ALT, ..key }
}

/// The key of a sequence, as xterm sends it: `CSI 1 ; modifiers A`, `CSI 3 ; modifiers ~`, `SS3 P`.
fn sequence(parameters: &[u8], end: u8) -> Option<Key> {
    let text = std::str::from_utf8(parameters).ok()?;
    let mut numbers = text.split(';').map(|number| number.parse::<u16>().unwrap_or(0));
    let first = numbers.next().unwrap_or(0);
    let modifiers = numbers.next().unwrap_or(1).saturating_sub(1);
    let code = match (end, first) {
        (b'A', _) => VK_UP,
        (b'B', _) => VK_DOWN,
        (b'C', _) => VK_RIGHT,
        (b'D', _) => VK_LEFT,
        (b'H', _) | (b'~', 1 | 7) => VK_HOME,
        (b'F', _) | (b'~', 4 | 8) => VK_END,
        (b'~', 2) => VK_INSERT,
        (b'~', 3) => VK_DELETE,
        (b'~', 5) => VK_PRIOR,
        (b'~', 6) => VK_NEXT,
        (b'P'..=b'S', _) => VK_F1 + u16::from(end - b'P'),
        (b'~', 11..=15) => VK_F1 + first - 11,
        (b'~', 17..=21) => VK_F1 + first - 12,
        (b'~', 23 | 24) => VK_F1 + first - 13,
        (b'Z', _) => {
            let key = key_of(9);
            return Some(Key { state: key.state | SHIFT, ..key });
        }
        _ => return None,
    };
    let mut state = if (VK_PRIOR..=VK_DELETE).contains(&code) { ENHANCED } else { 0 };
    for (bit, meaning) in [(1, SHIFT), (2, ALT), (4, CONTROL)] {
        if modifiers & bit != 0 {
            state |= meaning;
        }
    }
    Some(Key { code, scan: scan_code(code), unit: 0, state })
}

/// The key that types a unit on a US keyboard; units that it does not have come without a key.
fn key_of(unit: u16) -> Key {
    let key = |code: u16, unit: u16, state: u32| Key { code, scan: scan_code(code), unit, state };
    let Some(byte) = u8::try_from(unit).ok().filter(u8::is_ascii) else { return key(0, unit, 0) };
    match byte {
        // Terminals send a carriage return for Enter and DEL for Backspace.
        b'\r' => key(VK_RETURN, unit, 0),
        b'\n' => key(VK_RETURN, unit, CONTROL),
        b'\t' => key(VK_TAB, unit, 0),
        0x7F => key(VK_BACK, 8, 0),
        8 => key(VK_BACK, 0x7F, CONTROL),
        0x1B => key(VK_ESCAPE, unit, 0),
        0 => key(u16::from(b' '), unit, CONTROL),
        // Ctrl-\ stands for Ctrl-Break, which terminals do not have.
        0x1C => key(VK_CANCEL, 0, CONTROL),
        1..=26 => key(unit + 0x40, unit, CONTROL),
        b'a'..=b'z' => key(unit - 0x20, unit, 0),
        b'A'..=b'Z' => key(unit, unit, SHIFT),
        b'0'..=b'9' | b' ' => key(unit, unit, 0),
        _ => {
            let (code, shifted) = match byte {
                b';' => (0xBA, false),
                b':' => (0xBA, true),
                b'=' => (0xBB, false),
                b'+' => (0xBB, true),
                b',' => (0xBC, false),
                b'<' => (0xBC, true),
                b'-' => (0xBD, false),
                b'_' => (0xBD, true),
                b'.' => (0xBE, false),
                b'>' => (0xBE, true),
                b'/' => (0xBF, false),
                b'?' => (0xBF, true),
                b'`' => (0xC0, false),
                b'~' => (0xC0, true),
                b'[' => (0xDB, false),
                b'{' => (0xDB, true),
                b'\\' => (0xDC, false),
                b'|' => (0xDC, true),
                b']' => (0xDD, false),
                b'}' => (0xDD, true),
                b'\'' => (0xDE, false),
                b'"' => (0xDE, true),
                b'!' => (0x31, true),
                b'@' => (0x32, true),
                b'#' => (0x33, true),
                b'$' => (0x34, true),
                b'%' => (0x35, true),
                b'^' => (0x36, true),
                b'&' => (0x37, true),
                b'*' => (0x38, true),
                b'(' => (0x39, true),
                b')' => (0x30, true),
                _ => (0, false),
            };
            key(code, unit, if shifted { SHIFT } else { 0 })
        }
    }
}

/// The scan code of a virtual key (set 1, US layout).
fn scan_code(code: u16) -> u16 {
    const LETTERS: [u8; 26] = [
        0x1E, 0x30, 0x2E, 0x20, 0x12, 0x21, 0x22, 0x23, 0x17, 0x24, 0x25, 0x26, 0x32, 0x31, 0x18,
        0x19, 0x10, 0x13, 0x1F, 0x14, 0x16, 0x2F, 0x11, 0x2D, 0x15, 0x2C,
    ];
    match code {
        0x41..=0x5A => LETTERS.get(usize::from(code - 0x41)).copied().map_or(0, u16::from),
        0x30 => 0x0B,
        0x31..=0x39 => code - 0x31 + 2,
        0x20 => 0x39,
        VK_RETURN => 0x1C,
        VK_BACK => 0x0E,
        VK_TAB => 0x0F,
        VK_ESCAPE => 1,
        VK_HOME => 0x47,
        VK_UP => 0x48,
        VK_PRIOR => 0x49,
        VK_LEFT => 0x4B,
        VK_RIGHT => 0x4D,
        VK_END => 0x4F,
        VK_DOWN => 0x50,
        VK_NEXT => 0x51,
        VK_INSERT => 0x52,
        VK_DELETE => 0x53,
        VK_CANCEL => 0x46,
        0x70..=0x79 => code - 0x70 + 0x3B,
        0x7A | 0x7B => code - 0x7A + 0x57,
        0xBA => 0x27,
        0xBB => 0x0D,
        0xBC => 0x33,
        0xBD => 0x0C,
        0xBE => 0x34,
        0xBF => 0x35,
        0xC0 => 0x29,
        0xDB => 0x1A,
        0xDC => 0x2B,
        0xDD => 0x1B,
        0xDE => 0x28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<(u16, u16, u32)> {
        let typed = Decoder::default().decode(bytes);
        typed.into_iter().flat_map(|(keys, _)| keys).map(|k| (k.code, k.unit, k.state)).collect()
    }

    #[test]
    fn characters_and_control_characters() {
        assert_eq!(keys(b"aA!"), [(0x41, 0x61, 0), (0x41, 0x41, SHIFT), (0x31, 0x21, SHIFT)]);
        assert_eq!(keys(b"\r\x7f\x03"), [(13, 13, 0), (8, 8, 0), (0x43, 3, CONTROL)]);
        assert_eq!(
            keys("\u{E9}\u{1F600}".as_bytes()),
            [(0, 0xE9, 0), (0, 0xD83D, 0), (0, 0xDE00, 0)]
        );
    }

    #[test]
    fn sequences() {
        assert_eq!(keys(b"\x1b[A\x1bOP"), [(VK_UP, 0, ENHANCED), (VK_F1, 0, 0)]);
        assert_eq!(keys(b"\x1b[1;5D"), [(VK_LEFT, 0, ENHANCED | CONTROL)]);
        assert_eq!(keys(b"\x1b[3~\x1b"), [(VK_DELETE, 0, ENHANCED), (VK_ESCAPE, 27, 0)]);
        assert_eq!(keys(b"\x1bx"), [(0x58, 0x78, ALT)]);
        assert_eq!(keys(b"\x1b[200~x"), [(0x58, 0x78, 0)]);
    }

    #[test]
    fn a_character_in_two_pieces() {
        let mut decoder = Decoder::default();
        assert!(decoder.decode(&[0xC3]).is_empty());
        let typed = decoder.decode(&[0xA9]);
        assert_eq!(typed[0].0[0].unit, 0xE9);
    }
}
