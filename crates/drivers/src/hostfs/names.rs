//! Names: between the bytes of Linux and the UTF-16 of NT, without loss.
//!
//! What one side can hold and the other cannot is escaped in the private use area: a byte `b` that is not UTF-8 or not
//! legal in an NT name is `U+F000 + b`, as other systems that show Linux names to Windows have it. Surrogates without
//! a partner are kept in the manner of WTF-8.

/// Longest name component, in UTF-16 units.
pub const MAX_COMPONENT: usize = 255;

const ESCAPES: u16 = 0xF000;

/// True for a byte that a host name may hold and an NT name may not.
fn is_escaped(byte: u8) -> bool {
    matches!(
        byte,
        0x01..=0x1F | b'"' | b'*' | b':' | b'<' | b'>' | b'?' | b'\\' | b'|' | 0x80..=0xFF
    )
}

/// The byte that an escape stands for.
fn escaped(unit: u16) -> Option<u8> {
    let byte = u8::try_from(unit.checked_sub(ESCAPES)?).ok()?;
    is_escaped(byte).then_some(byte)
}

fn escape(byte: u8) -> u16 {
    ESCAPES + u16::from(byte)
}

/// True for a component that NT allows: no wildcards, separators or control characters.
pub fn is_legal(name: &[u16]) -> bool {
    let refused = |unit: &u16| match u8::try_from(*unit) {
        Ok(byte) => byte == 0 || byte == b'/' || (byte < 0x80 && is_escaped(byte)),
        Err(_) => false,
    };
    !name.is_empty()
        && name.len() <= MAX_COMPONENT
        && !name.iter().any(refused)
        && !name.iter().all(|unit| *unit == u16::from(b'.') && name.len() <= 2)
}

/// The host's name for an NT component; `None` for one that no host file can have.
pub fn to_host(name: &[u16]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len());
    for unit in char::decode_utf16(name.iter().copied()) {
        match unit {
            Ok(c) => match u16::try_from(u32::from(c)).ok().and_then(escaped) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            },
            Err(lone) => {
                let unit = lone.unpaired_surrogate();
                bytes.extend([0xED, 0x80 | (unit >> 6 & 0x3F) as u8, 0x80 | (unit & 0x3F) as u8]);
            }
        }
    }
    let refused = bytes.is_empty()
        || bytes == b"."
        || bytes == b".."
        || bytes.contains(&b'/')
        || bytes.contains(&0);
    (!refused).then_some(bytes)
}

/// The NT name of a host name.
pub fn from_host(name: &[u8]) -> Vec<u16> {
    let mut units = Vec::with_capacity(name.len());
    let mut rest = name;
    // Whether the last unit is a high surrogate that stands alone: a low one behind it would pair up.
    let mut lone_high = false;
    while !rest.is_empty() {
        let (text, bad) = match std::str::from_utf8(rest) {
            Ok(text) => (text, &[][..]),
            Err(error) => {
                let (good, bad) = rest.split_at(error.valid_up_to());
                (std::str::from_utf8(good).unwrap_or_default(), bad)
            }
        };
        for c in text.chars() {
            lone_high = false;
            push_char(&mut units, c);
        }
        rest = match bad {
            [] => bad,
            [0xED, high @ 0xA0..=0xBF, low @ 0x80..=0xBF, after @ ..]
                if !(lone_high && *high >= 0xB0) =>
            {
                units.push(0xD000 | u16::from(high & 0x3F) << 6 | u16::from(low & 0x3F));
                lone_high = *high < 0xB0;
                after
            }
            [byte, after @ ..] => {
                units.push(escape(*byte));
                lone_high = false;
                after
            }
        };
    }
    units
}

fn push_char(units: &mut Vec<u16>, c: char) {
    let code = u32::from(c);
    let is_our_escape = u16::try_from(code).is_ok_and(|unit| escaped(unit).is_some());
    match u8::try_from(code) {
        Ok(byte) if byte < 0x80 && is_escaped(byte) => units.push(escape(byte)),
        // A name that holds what looks like an escape is itself escaped, byte by byte.
        _ if is_our_escape => {
            units.extend(c.encode_utf8(&mut [0; 4]).bytes().map(escape));
        }
        _ => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_survive_the_round_trip() {
        let names: [&[u8]; 10] = [
            b"readme.txt",
            "Grüße 🦀".as_bytes(),
            b"a:b*c?",
            b"back\\slash\n",
            b"latin1 \xE9",
            b"\xED\xA0\x80 lone",
            b"\xED\xA0\x80\xED\xB0\x80 pair",
            b"\xED\xB0\x80\xED\xA0\x80",
            "\u{F03A}".as_bytes(),
            b"\xF0\x9F",
        ];
        for name in names {
            let units = from_host(name);
            assert!(is_legal(&units), "{name:?}");
            assert_eq!(to_host(&units).as_deref(), Some(name));
        }
    }

    #[test]
    fn nt_names_survive_the_round_trip() {
        let names: [&[u16]; 4] = [&[0x61, 0xD800], &[0xDC00, 0xD800], &[0xF041], &[0xD83E, 0xDD80]];
        for name in names {
            let bytes = to_host(name).unwrap();
            assert_eq!(from_host(&bytes), name);
        }
    }

    #[test]
    fn escapes_make_no_path() {
        let dot = ESCAPES + u16::from(b'.');
        let slash = ESCAPES + u16::from(b'/');
        // These units are no escapes: they are kept as what they are.
        assert_ne!(to_host(&[dot, dot]).unwrap(), b"..");
        assert!(!to_host(&[slash]).unwrap().contains(&b'/'));
        assert!(to_host(&[u16::from(b'.')]).is_none());
        assert!(to_host(&[u16::from(b'/')]).is_none());
        assert!(to_host(&[0]).is_none());
    }

    #[test]
    fn illegal_names_are_known() {
        let legal = |text: &str| is_legal(&text.encode_utf16().collect::<Vec<_>>());
        for name in ["a", "...", ".a", "a b.", "ü"] {
            assert!(legal(name), "{name}");
        }
        for name in ["", ".", "..", "a*", "a?b", "a/b", "a:b", "a\tb", "<", "x|y"] {
            assert!(!legal(name), "{name}");
        }
        assert!(!legal(&"x".repeat(256)));
    }
}
