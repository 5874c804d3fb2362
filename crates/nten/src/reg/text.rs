//! Registry values as text: types and data on the command line, and `.reg` files in both directions.
//!
//! Key type: [`Change`]. Read are files of regedit 5 (UTF-16 or UTF-8) and of regedit 4; written are those of regedit 5.
//! Source: Microsoft's article on .reg files.

use regf::{Key, Value};

/// A change that a `.reg` file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key is to be there.
    Key(String),
    /// A value of a key.
    Set(String, Value),
    /// A key and everything in it goes.
    DeleteKey(String),
    /// A value of a key goes.
    DeleteValue(String, String),
}

const KINDS: &[&str] = &[
    "REG_NONE",
    "REG_SZ",
    "REG_EXPAND_SZ",
    "REG_BINARY",
    "REG_DWORD",
    "REG_DWORD_BIG_ENDIAN",
    "REG_LINK",
    "REG_MULTI_SZ",
    "REG_RESOURCE_LIST",
    "REG_FULL_RESOURCE_DESCRIPTOR",
    "REG_RESOURCE_REQUIREMENTS_LIST",
    "REG_QWORD",
];

/// A type's name, or its number.
pub fn kind_name(kind: u32) -> String {
    let name = KINDS.get(kind as usize);
    name.map_or_else(|| format!("{kind:#x}"), |name| (*name).to_owned())
}

fn sz(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn text_of(data: &[u8]) -> String {
    let units: Vec<u16> =
        data.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16_lossy(&units)
}

fn number(text: &str) -> Result<u64, String> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = match hex {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is not a number"))
}

/// The value that words of the command line say.
pub fn value(name: &str, kind: &str, data: &str) -> Result<Value, String> {
    let upper = kind.to_uppercase();
    let known = KINDS.iter().position(|known| *known == upper).map(|kind| kind as u32);
    let kind = known.ok_or_else(|| format!("`{kind}` is not a type of values"))?;
    let data = match upper.as_str() {
        "REG_SZ" | "REG_EXPAND_SZ" => sz(data),
        "REG_MULTI_SZ" => {
            let texts = data.split("\\0").filter(|text| !text.is_empty());
            texts.flat_map(sz).chain([0, 0]).collect()
        }
        "REG_DWORD" | "REG_DWORD_BIG_ENDIAN" => {
            let number = u32::try_from(number(data)?);
            let number = number.map_err(|_| format!("`{data}` does not fit in 32 bits"))?;
            match upper.as_str() {
                "REG_DWORD" => number.to_le_bytes().to_vec(),
                _ => number.to_be_bytes().to_vec(),
            }
        }
        "REG_QWORD" => number(data)?.to_le_bytes().to_vec(),
        "REG_LINK" => data.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        _ => {
            let digits: Vec<u8> = data.bytes().filter(|byte| *byte != b' ').collect();
            let text = String::from_utf8_lossy(&digits).into_owned();
            hex_pairs(&text).ok_or_else(|| format!("`{data}` is not pairs of hex digits"))?
        }
    };
    Ok(Value { name: name.encode_utf16().collect(), kind, data })
}

fn hex_pairs(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// A value's data for a reader.
pub fn data_text(value: &Value) -> String {
    let data = value.data.as_slice();
    match value.kind {
        1 | 2 | 6 => text_of(data).trim_end_matches('\0').to_owned(),
        7 => text_of(data).trim_end_matches('\0').replace('\0', "\\0"),
        4 if data.len() == 4 => {
            let bytes = data.first_chunk().copied().unwrap_or_default();
            format!("{:#x}", u32::from_le_bytes(bytes))
        }
        11 if data.len() == 8 => {
            let bytes = data.first_chunk().copied().unwrap_or_default();
            format!("{:#x}", u64::from_le_bytes(bytes))
        }
        _ => data.iter().map(|byte| format!("{byte:02X}")).collect(),
    }
}

/// A key's path with its root spelled out, as `.reg` files have it.
pub fn long_name(key: &str) -> String {
    let (root, rest) = key.split_once('\\').unwrap_or((key, ""));
    let long = match root.to_uppercase().as_str() {
        "HKLM" => "HKEY_LOCAL_MACHINE",
        "HKCU" => "HKEY_CURRENT_USER",
        "HKCR" => "HKEY_CLASSES_ROOT",
        "HKU" => "HKEY_USERS",
        _ => return key.trim_matches('\\').to_owned(),
    };
    format!("{long}\\{rest}").trim_end_matches('\\').to_owned()
}

/// A key with everything in it as a `.reg` file.
pub fn export(path: &str, key: &Key) -> String {
    let mut out = "Windows Registry Editor Version 5.00\r\n\r\n".to_owned();
    export_key(path, key, &mut out);
    out
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn export_key(path: &str, key: &Key, out: &mut String) {
    out.push_str(&format!("[{path}]\r\n"));
    for value in &key.values {
        let name = String::from_utf16_lossy(&value.name);
        let name = if name.is_empty() { "@".to_owned() } else { format!("\"{}\"", escape(&name)) };
        out.push_str(&format!("{name}={}\r\n", export_data(value, name.len() + 1)));
    }
    out.push_str("\r\n");
    for subkey in &key.subkeys {
        let name = String::from_utf16_lossy(&subkey.name);
        let path = if path.is_empty() { name } else { format!("{path}\\{name}") };
        export_key(&path, subkey, out);
    }
}

fn export_data(value: &Value, used: usize) -> String {
    let data = value.data.as_slice();
    if value.kind == 4 && data.len() == 4 {
        let bytes = data.first_chunk().copied().unwrap_or_default();
        return format!("dword:{:08x}", u32::from_le_bytes(bytes));
    }
    if value.kind == 1 {
        let text = text_of(data);
        // Only a text that comes back the same is written as a text.
        if let Some(body) = text.strip_suffix('\0')
            && !body.contains(['\0', '\r', '\n'])
            && sz(body) == data
        {
            return format!("\"{}\"", escape(body));
        }
    }
    let mut out = match value.kind {
        3 => "hex:".to_owned(),
        kind => format!("hex({kind:x}):"),
    };
    let mut column = used + out.len();
    for (index, byte) in data.iter().enumerate() {
        if index > 0 {
            out.push(',');
            column += 1;
            if column > 76 {
                out.push_str("\\\r\n  ");
                column = 2;
            }
        }
        out.push_str(&format!("{byte:02x}"));
        column += 2;
    }
    out
}

fn decode(bytes: &[u8]) -> String {
    match bytes {
        [0xFF, 0xFE, rest @ ..] => text_of(rest),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => match str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            // Files of regedit 4 have a code page; Latin-1 is what most of them agree in.
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        },
    }
}

/// Reads a `.reg` file; the error names the line.
pub fn parse(bytes: &[u8]) -> Result<Vec<Change>, String> {
    let text = decode(bytes);
    let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let first = lines.find(|(_, line)| !line.is_empty());
    let is_narrow = match first {
        Some((_, "Windows Registry Editor Version 5.00")) => false,
        Some((_, "REGEDIT4")) => true,
        _ => return Err("it does not begin as a .reg file does".to_owned()),
    };
    let mut changes = Vec::new();
    // The key that values belong to; none after a deleted one.
    let mut key: Option<String> = None;
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        let wrong = |what: &str| format!("line {number}: {what}");
        if let Some(rest) = line.strip_prefix('[') {
            let name = rest.strip_suffix(']').ok_or_else(|| wrong("there is no closing `]`"))?;
            key = match name.strip_prefix('-') {
                Some(name) => {
                    changes.push(Change::DeleteKey(name.to_owned()));
                    None
                }
                None => {
                    changes.push(Change::Key(name.to_owned()));
                    Some(name.to_owned())
                }
            };
            continue;
        }
        let mut whole = line.to_owned();
        while let Some(part) = whole.strip_suffix('\\') {
            let (_, next) = lines.next().ok_or_else(|| wrong("it ends in a continued line"))?;
            whole = format!("{part}{next}");
        }
        let key = key.as_ref().ok_or_else(|| wrong("there is no key for this value"))?;
        let (name, data) = name_and_data(&whole).ok_or_else(|| wrong("it is no value"))?;
        if data == "-" {
            changes.push(Change::DeleteValue(key.clone(), name));
            continue;
        }
        let (kind, data) = parse_data(data, is_narrow).map_err(|what| wrong(&what))?;
        let value = Value { name: name.encode_utf16().collect(), kind, data };
        changes.push(Change::Set(key.clone(), value));
    }
    Ok(changes)
}

/// Splits `"name"=data`; the default value's name is empty.
fn name_and_data(line: &str) -> Option<(String, &str)> {
    let (name, rest) = match line.strip_prefix('@') {
        Some(rest) => (String::new(), rest),
        None => quoted(line)?,
    };
    Some((name, rest.trim_start().strip_prefix('=')?.trim()))
}

/// A text in quotes at the start, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut out = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((out, inner.get(at + 1..)?)),
            '\\' => out.push(characters.next()?.1),
            other => out.push(other),
        }
    }
    None
}

fn parse_data(data: &str, is_narrow: bool) -> Result<(u32, Vec<u8>), String> {
    if data.starts_with('"') {
        let (text, _) = quoted(data).ok_or("there is no closing quote")?;
        return Ok((1, sz(&text)));
    }
    let (kind, rest) = data.split_once(':').ok_or_else(|| format!("`{data}` is no data"))?;
    if kind.eq_ignore_ascii_case("dword") {
        let number = u32::from_str_radix(rest.trim(), 16);
        let number = number.map_err(|_| format!("`{rest}` is not eight hex digits"))?;
        return Ok((4, number.to_le_bytes().to_vec()));
    }
    let kind = match kind.strip_prefix("hex") {
        Some("") => Some(3),
        Some(kind) => {
            let kind = kind.strip_prefix('(').and_then(|kind| kind.strip_suffix(')'));
            kind.and_then(|kind| u32::from_str_radix(kind, 16).ok())
        }
        None => None,
    };
    let kind = kind.ok_or_else(|| format!("`{data}` is of no known form"))?;
    let bytes: Option<Vec<u8>> = rest
        .split(',')
        .map(str::trim)
        .filter(|byte| !byte.is_empty())
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    let bytes = bytes.ok_or("the bytes are not hex digits")?;
    // Texts of regedit 4 have one byte for a character.
    if is_narrow && matches!(kind, 2 | 7) {
        return Ok((kind, bytes.iter().flat_map(|byte| [*byte, 0]).collect()));
    }
    Ok((kind, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        let mut key = Key::new("k");
        for (name, kind, data) in [
            ("", "REG_SZ", r#"a "quoted" \ text"#),
            ("number", "REG_DWORD", "0x10"),
            ("large", "REG_QWORD", "4294967296"),
            ("several", "REG_MULTI_SZ", r"one\0two"),
            ("bytes", "REG_BINARY", &"0123456789abcdef".repeat(12)),
            (r#"a\b"c"#, "REG_EXPAND_SZ", "%PATH%"),
        ] {
            key.set_value(value(name, kind, data).unwrap());
        }
        key
    }

    #[test]
    fn exported_keys_are_imported_the_same() {
        let text = export("HKEY_CURRENT_USER\\k", &key());
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let utf16: Vec<u8> =
            std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        for bytes in [text.into_bytes(), utf16] {
            let mut changes = parse(&bytes).unwrap().into_iter();
            assert_eq!(changes.next(), Some(Change::Key("HKEY_CURRENT_USER\\k".to_owned())));
            let values: Vec<Value> = changes
                .map(|change| match change {
                    Change::Set(_, value) => value,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(values, key().values);
        }
    }

    #[test]
    fn deletions_and_comments() {
        let text = "REGEDIT4\n\n; why\n[-HKEY_CURRENT_USER\\a]\n[HKEY_CURRENT_USER\\b]\n\"x\"=-\n\
                    \"y\"=hex(2):41,\\\n  00\n";
        let changes = parse(text.as_bytes()).unwrap();
        let b = || r"HKEY_CURRENT_USER\b".to_owned();
        let y = Value { name: vec![u16::from(b'y')], kind: 2, data: vec![0x41, 0, 0, 0] };
        let expected = [
            Change::DeleteKey(r"HKEY_CURRENT_USER\a".to_owned()),
            Change::Key(b()),
            Change::DeleteValue(b(), "x".to_owned()),
            Change::Set(b(), y),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn errors_name_the_line() {
        let head = "Windows Registry Editor Version 5.00\n";
        for (text, line) in [("[a\n", 2), ("\"x\"=1\n", 2), ("[a]\n\"x\"=dword:z\n", 3)] {
            let error = parse(format!("{head}{text}").as_bytes()).unwrap_err();
            assert!(error.starts_with(&format!("line {line}:")), "{error}");
        }
        assert!(parse(b"hello").is_err());
    }
}
