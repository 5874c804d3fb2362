//! Reading: [`Hive::parse`] walks a file's cells from the root on.
//!
//! Every cell is claimed once by what refers to it, but for security cells, which keys share. So cycles and files that
//! unfold into more than themselves are errors, and the walk ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::layout::*;
use crate::{Error, Hive, Key, MAX_DEPTH, Value};

type Result<T> = std::result::Result<T, Error>;

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn dword(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn time(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

fn utf16(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
}

fn base(what: impl Into<String>) -> Error {
    Error::Base(what.into())
}

impl Hive {
    /// Reads a hive file.
    pub fn parse(bytes: &[u8]) -> Result<Hive> {
        let block = bytes.get(..BASE_BLOCK).ok_or_else(|| base("is cut short"))?;
        if !block.starts_with(b"regf") {
            return Err(base("does not begin with `regf`"));
        }
        let field = |at| dword(block, at).unwrap_or_default();
        if field(508) != checksum(block) {
            return Err(base("has a wrong checksum"));
        }
        let (major, minor) = (field(20), field(24));
        if major != 1 || !(3..=6).contains(&minor) {
            return Err(base(format!("has version {major}.{minor}, not 1.3 to 1.5")));
        }
        if field(28) != 0 || field(32) != 1 {
            return Err(base("says that it is no primary file"));
        }
        let size = field(40) as usize;
        let bins = bytes.get(BASE_BLOCK..).and_then(|rest| rest.get(..size));
        let bins = bins.ok_or_else(|| base("counts more bytes than the file has"))?;
        let name = utf16(block.get(48..112).unwrap_or_default());
        let end = name.iter().position(|unit| *unit == 0).unwrap_or(name.len());
        let file_name = String::from_utf16_lossy(name.get(..end).unwrap_or_default());
        let mut reader = Reader::new(bins, minor)?;
        let root = reader.subtree(field(36), 1)?;
        Ok(Hive {
            root,
            sequence: field(8),
            written: time(block, 12).unwrap_or_default(),
            file_name,
            minor,
            torn: field(4) != field(8),
        })
    }
}

struct Reader<'a> {
    bins: &'a [u8],
    minor: u32,
    /// Allocated cells: where they start, what is in them.
    cells: BTreeMap<u32, &'a [u8]>,
    claimed: BTreeSet<u32>,
    security: BTreeMap<u32, Arc<[u8]>>,
}

fn bad(cell: u32, kind: &'static str, what: impl Into<String>) -> Error {
    Error::Cell { cell, kind, what: what.into() }
}

fn short(cell: u32, kind: &'static str) -> Error {
    bad(cell, kind, "is cut short")
}

impl<'a> Reader<'a> {
    /// Walks the bins and the cells in them.
    fn new(bins: &'a [u8], minor: u32) -> Result<Self> {
        let mut cells = BTreeMap::new();
        let mut start = 0usize;
        while start < bins.len() {
            let at = (BASE_BLOCK + start) as u64;
            let wrong = |what| Error::Bin { at, what };
            let rest = bins.get(start..).unwrap_or_default();
            if !rest.starts_with(b"hbin") {
                return Err(wrong("does not begin with `hbin`"));
            }
            if dword(rest, 4) != u32::try_from(start).ok() {
                return Err(wrong("does not say where it is"));
            }
            let size = dword(rest, 8).unwrap_or_default() as usize;
            if size == 0 || !size.is_multiple_of(BIN_UNIT) {
                return Err(wrong("has a size that is no multiple of 4096"));
            }
            let bin = rest.get(..size).ok_or_else(|| wrong("is longer than the file"))?;
            Self::walk_bin(bin, start, &mut cells)?;
            start += size;
        }
        let (claimed, security) = Default::default();
        Ok(Reader { bins, minor, cells, claimed, security })
    }

    fn walk_bin(bin: &'a [u8], start: usize, cells: &mut BTreeMap<u32, &'a [u8]>) -> Result<()> {
        let mut at = BIN_HEADER;
        while at < bin.len() {
            let cell = (start + at) as u32;
            let raw = dword(bin, at).ok_or_else(|| short(cell, "unknown"))? as i32;
            let size = raw.unsigned_abs() as usize;
            if size < 8 || !size.is_multiple_of(8) {
                return Err(bad(cell, "unknown", format!("has the impossible size {raw}")));
            }
            let body = bin.get(at + CELL_HEADER..at.saturating_add(size));
            let body = body.ok_or_else(|| bad(cell, "unknown", "is longer than its bin"))?;
            if raw < 0 {
                cells.insert(cell, body);
            }
            at += size;
        }
        Ok(())
    }

    /// A cell's content, which several may refer to.
    fn look(&self, cell: u32, kind: &'static str) -> Result<&'a [u8]> {
        self.cells.get(&cell).copied().ok_or_else(|| {
            let beyond = cell as usize >= self.bins.len();
            let what = if beyond { "is outside of the file" } else { "is not an allocated cell" };
            bad(cell, kind, what)
        })
    }

    /// A cell's content, for its only owner.
    fn claim(&mut self, cell: u32, kind: &'static str) -> Result<&'a [u8]> {
        let body = self.look(cell, kind)?;
        if !self.claimed.insert(cell) {
            return Err(bad(cell, kind, "is used twice"));
        }
        Ok(body)
    }

    /// A key with everything below it.
    fn subtree(&mut self, cell: u32, depth: usize) -> Result<Key> {
        if depth > MAX_DEPTH {
            return Err(bad(cell, "key", format!("is deeper than {MAX_DEPTH} levels")));
        }
        let (mut key, subkeys) = self.key(cell)?;
        key.subkeys.reserve_exact(subkeys.len());
        for subkey in subkeys {
            let subkey = self.subtree(subkey, depth + 1)?;
            key.subkeys.push(subkey);
        }
        Ok(key)
    }

    /// A key and the cells of its subkeys.
    fn key(&mut self, cell: u32) -> Result<(Key, Vec<u32>)> {
        let body = self.claim(cell, "key")?;
        if !body.starts_with(b"nk") {
            return Err(bad(cell, "key", "does not begin with `nk`"));
        }
        let header = body.get(..KEY_HEADER).ok_or_else(|| short(cell, "key"))?;
        let small = |at| word(header, at).unwrap_or_default();
        let field = |at| dword(header, at).unwrap_or_default();
        let flags = small(2);
        let name = self.name(body, KEY_HEADER, small(72), flags & KEY_COMP_NAME != 0);
        let name = name.ok_or_else(|| bad(cell, "key", "has a name beyond its end"))?;
        let mut subkeys = Vec::new();
        if field(20) != 0 {
            self.subkeys(field(28), true, &mut subkeys)?;
            if subkeys.len() != field(20) as usize {
                let what = format!("counts {} subkeys, has {}", field(20), subkeys.len());
                return Err(bad(cell, "key", what));
            }
        }
        let values = self.values(field(40), field(36))?;
        let security = match field(44) {
            NO_CELL => Arc::default(),
            security => self.security(security)?,
        };
        let class = match (small(74), field(48)) {
            (0, _) | (_, NO_CELL) => Vec::new(),
            (len, class) => {
                let body = self.claim(class, "class name")?;
                utf16(body.get(..len.into()).ok_or_else(|| short(class, "class name"))?)
            }
        };
        let bits = field(52) >> 16;
        let key = Key {
            name,
            class,
            last_write: time(header, 4).unwrap_or_default(),
            is_link: flags & KEY_SYM_LINK != 0,
            user_flags: (bits & 0xF) as u8,
            control_flags: (bits >> 4 & 0xF) as u8,
            security,
            values,
            subkeys: Vec::new(),
        };
        Ok((key, subkeys))
    }

    fn name(&self, body: &[u8], at: usize, len: u16, is_compressed: bool) -> Option<Vec<u16>> {
        let bytes = body.get(at..at.checked_add(len.into())?)?;
        Some(match is_compressed {
            true => bytes.iter().map(|byte| u16::from(*byte)).collect(),
            false => utf16(bytes),
        })
    }

    /// Collects the subkeys of a list; an index of lists may only hold lists.
    fn subkeys(&mut self, cell: u32, may_be_index: bool, into: &mut Vec<u32>) -> Result<()> {
        let kind = "subkey list";
        let body = self.claim(cell, kind)?;
        let count = usize::from(word(body, 2).ok_or_else(|| short(cell, kind))?);
        let stride = match body.get(..2) {
            Some(b"li" | b"ri") => 4,
            Some(b"lf" | b"lh") => 8,
            _ => return Err(bad(cell, kind, "is of no known kind")),
        };
        let entries = body.get(4..4 + count * stride).ok_or_else(|| short(cell, kind))?;
        let entries = entries.chunks_exact(stride).filter_map(|entry| dword(entry, 0));
        if body.starts_with(b"ri") {
            if !may_be_index {
                return Err(bad(cell, kind, "is an index in an index"));
            }
            for list in entries {
                self.subkeys(list, false, into)?;
            }
        } else {
            into.extend(entries);
        }
        Ok(())
    }

    fn values(&mut self, list: u32, count: u32) -> Result<Vec<Value>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let body = self.claim(list, "value list")?;
        let len = (count as usize).checked_mul(4);
        let entries = len.and_then(|len| body.get(..len));
        let entries = entries.ok_or_else(|| short(list, "value list"))?;
        let cells: Vec<u32> = entries.chunks_exact(4).filter_map(|cell| dword(cell, 0)).collect();
        cells.into_iter().map(|cell| self.value(cell)).collect()
    }

    fn value(&mut self, cell: u32) -> Result<Value> {
        let body = self.claim(cell, "value")?;
        if !body.starts_with(b"vk") {
            return Err(bad(cell, "value", "does not begin with `vk`"));
        }
        let header = body.get(..VALUE_HEADER).ok_or_else(|| short(cell, "value"))?;
        let field = |at| dword(header, at).unwrap_or_default();
        let flags = word(header, 16).unwrap_or_default();
        let len = word(header, 2).unwrap_or_default();
        let name = self.name(body, VALUE_HEADER, len, flags & VALUE_COMP_NAME != 0);
        let name = name.ok_or_else(|| bad(cell, "value", "has a name beyond its end"))?;
        let size = (field(4) & !RESIDENT) as usize;
        let data = if field(4) & RESIDENT != 0 {
            let resident = header.get(8..12).and_then(|data| data.get(..size));
            resident.ok_or_else(|| bad(cell, "value", "keeps more than 4 bytes in itself"))?.into()
        } else if size == 0 {
            Vec::new()
        } else {
            self.data(field(8), size)?
        };
        Ok(Value { name, kind: field(12), data })
    }

    fn data(&mut self, cell: u32, size: usize) -> Result<Vec<u8>> {
        let body = self.claim(cell, "data")?;
        let is_big = self.minor > 3 && size > BIG_DATA_SEGMENT && body.starts_with(b"db");
        if !is_big {
            return Ok(body.get(..size).ok_or_else(|| short(cell, "data"))?.to_vec());
        }
        let count = usize::from(word(body, 2).unwrap_or_default());
        let list = dword(body, 4).ok_or_else(|| short(cell, "big data"))?;
        let entries = self.claim(list, "segment list")?;
        let entries = entries.get(..count * 4).ok_or_else(|| short(list, "segment list"))?;
        let mut data = Vec::new();
        for segment in entries.chunks_exact(4).filter_map(|segment| dword(segment, 0)) {
            let body = self.claim(segment, "data segment")?;
            let len = BIG_DATA_SEGMENT.min(size - data.len());
            let part = body.get(..len).ok_or_else(|| short(segment, "data segment"))?;
            data.extend_from_slice(part);
        }
        if data.len() != size {
            return Err(bad(cell, "big data", "has too few segments"));
        }
        Ok(data)
    }

    fn security(&mut self, cell: u32) -> Result<Arc<[u8]>> {
        if let Some(known) = self.security.get(&cell) {
            return Ok(known.clone());
        }
        let kind = "security";
        let body = self.claim(cell, kind)?;
        if !body.starts_with(b"sk") {
            return Err(bad(cell, kind, "does not begin with `sk`"));
        }
        let len = dword(body, 16).ok_or_else(|| short(cell, kind))? as usize;
        let bytes = body.get(SECURITY_HEADER..).and_then(|rest| rest.get(..len));
        let descriptor: Arc<[u8]> = bytes.ok_or_else(|| short(cell, kind))?.into();
        self.security.insert(cell, descriptor.clone());
        Ok(descriptor)
    }
}
