//! Code pages of the console: what bytes written and read mean.
//!
//! Key type: [`CodePage`]. UTF-8 is computed; pages of one byte a character come from the userland's `c_NNN.nls`.
//! Layout of those files: observation of the tables that `NtGetNlsSectionPtr` maps (`CPTABLEINFO` of the public headers).

use ntos::Kernel;

/// UTF-8.
pub const UTF8: u32 = 65001;
/// The OEM code page of the machine.
pub const OEM: u32 = 437;

/// A code page.
pub struct CodePage {
    /// Its number.
    pub id: u32,
    table: Option<Vec<u16>>,
    /// Bytes of a character whose rest has not come.
    rest: Vec<u8>,
}

impl CodePage {
    /// Finds a page; `None` for one that is not there, or that has characters of two bytes.
    pub fn open(k: &Kernel, id: u32) -> Option<Self> {
        if id == UTF8 {
            return Some(Self::utf8());
        }
        let bytes = k.mm.nls.read(&format!("c_{id:03}.nls"))?;
        let table = single_byte_table(&bytes)?;
        Some(CodePage { id, table: Some(table), rest: Vec::new() })
    }

    /// UTF-8.
    pub fn utf8() -> Self {
        CodePage { id: UTF8, table: None, rest: Vec::new() }
    }

    /// What bytes mean; the start of a character stays for the next time.
    pub fn decode(&mut self, bytes: &[u8]) -> Vec<u16> {
        if let Some(table) = &self.table {
            let unit = |byte: &u8| table.get(usize::from(*byte)).copied().unwrap_or(0xFFFD);
            return bytes.iter().map(unit).collect();
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend(bytes);
        let mut units = Vec::new();
        let mut rest = all.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    units.extend(text.encode_utf16());
                    return units;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    units.extend(String::from_utf8_lossy(good).encode_utf16());
                    let Some(skip) = error.error_len() else {
                        self.rest = bad.to_vec();
                        return units;
                    };
                    units.push(0xFFFD);
                    rest = bad.get(skip..).unwrap_or_default();
                }
            }
        }
    }

    /// The bytes of a text; what the page does not have becomes a question mark.
    pub fn encode(&self, units: &[u16]) -> Vec<u8> {
        match &self.table {
            None => String::from_utf16_lossy(units).into_bytes(),
            Some(table) => {
                let byte = |unit: &u16| table.iter().position(|other| other == unit);
                units.iter().map(|unit| byte(unit).map_or(b'?', |byte| byte as u8)).collect()
            }
        }
    }
}

fn single_byte_table(bytes: &[u8]) -> Option<Vec<u16>> {
    let words: Vec<u16> =
        bytes.as_chunks::<2>().0.iter().map(|word| u16::from_le_bytes(*word)).collect();
    let header = usize::from(*words.first()?);
    if words.get(2) != Some(&1) {
        return None;
    }
    // Behind the header is the size of the table, then one unit for each byte.
    words.get(header + 1..header + 257).map(<[u16]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_in_pieces_and_wrong() {
        let mut page = CodePage::utf8();
        assert_eq!(page.decode(b"a\xE2\x82"), [0x61]);
        assert_eq!(page.decode(b"\xACb\xFFc"), [0x20AC, 0x62, 0xFFFD, 0x63]);
        assert_eq!(page.encode(&[0xE9, 0xD83D, 0xDE00]), "\u{E9}\u{1F600}".as_bytes());
    }

    #[test]
    fn a_table_of_single_bytes() {
        let mut words = vec![0u16; 14];
        words[0] = 13;
        words[2] = 1;
        words.extend((0..256).map(|byte| if byte < 128 { byte } else { byte + 0x400 }));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let table = single_byte_table(&bytes);
        assert!(table.is_some());
        let mut page = CodePage { id: 866, table, rest: Vec::new() };
        assert_eq!(page.decode(&[0x41, 0x90]), [0x41, 0x490]);
        assert_eq!(page.encode(&[0x490, 0x3042]), [0x90, b'?']);
        assert_eq!(single_byte_table(&bytes[..100]), None);
    }
}
