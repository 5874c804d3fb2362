//! Writing: [`Hive::to_bytes`] lays a tree out in cells from nothing, so a written file has no holes.
//!
//! Written is version 1.5: hash leaves, an index over them above [`MAX_LEAF`] subkeys, big data, shared security cells
//! in their ring, names of one byte a character where they can be.

use std::collections::BTreeMap;

use crate::layout::*;
use crate::tree::compare_names;
use crate::{Error, Hive, Key, MAX_DEPTH, Value};

type Result<T> = std::result::Result<T, Error>;

impl Hive {
    /// The file of this hive, version 1.5.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut writer = Writer::default();
        // Readers may take the first cell for the root without asking the base block.
        let root = writer.reserve(&self.root)?;
        let security = writer.securities(&self.root)?;
        writer.subtree(&self.root, root, NO_CELL, 1, &security)?;
        let bins = writer.finish(self.written);
        let size = u32::try_from(bins.len()).map_err(|_| failed(&self.root, "is too large"))?;
        let mut file = vec![0; BASE_BLOCK];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(field) = file.get_mut(at..at + bytes.len()) {
                field.copy_from_slice(bytes);
            }
        };
        put(0, b"regf");
        put(4, &self.sequence.to_le_bytes());
        put(8, &self.sequence.to_le_bytes());
        put(12, &self.written.to_le_bytes());
        for (at, value) in [(20, 1u32), (24, 5), (28, 0), (32, 1), (36, root), (40, size), (44, 1)]
        {
            put(at, &value.to_le_bytes());
        }
        // The end of a longer name is kept; the last unit is the end mark.
        let name: Vec<u16> = self.file_name.encode_utf16().collect();
        let name = name.get(name.len().saturating_sub(31)..).unwrap_or_default();
        put(48, &name.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>());
        let sum = checksum(&file);
        if let Some(field) = file.get_mut(508..512) {
            field.copy_from_slice(&sum.to_le_bytes());
        }
        file.extend_from_slice(&bins);
        Ok(file)
    }
}

fn failed(key: &Key, what: &'static str) -> Error {
    Error::Tree { key: String::from_utf16_lossy(&key.name), what }
}

/// Security cells by their descriptor.
type Securities<'a> = BTreeMap<&'a [u8], u32>;

/// Bins being filled. A cell is named by its offset, so it can be written to after it was placed.
#[derive(Default)]
struct Writer {
    bins: Vec<u8>,
    /// Where the bin being filled starts.
    bin: usize,
    /// Where the next cell in it goes; 0 when there is no bin yet.
    next: usize,
}

/// A name as it is kept, and whether it has one byte for a character.
fn name_bytes(name: &[u16]) -> (Vec<u8>, bool) {
    let bytes: Option<Vec<u8>> = name.iter().map(|unit| u8::try_from(*unit).ok()).collect();
    match bytes {
        Some(bytes) => (bytes, true),
        None => (name.iter().flat_map(|unit| unit.to_le_bytes()).collect(), false),
    }
}

fn offsets(cells: &[u32]) -> Vec<u8> {
    cells.iter().flat_map(|cell| cell.to_le_bytes()).collect()
}

impl Writer {
    /// Places an allocated cell.
    fn place(&mut self, body: &[u8]) -> Result<u32> {
        let size = (body.len() + CELL_HEADER).next_multiple_of(8);
        if self.next == 0 || self.next + size > self.bins.len() {
            self.new_bin(size);
        }
        let cell = self.next;
        let too_large = || failed(&Key::default(), "does not fit in a hive of 2 GB");
        let header = i32::try_from(size).map_err(|_| too_large())?;
        let offset = u32::try_from(cell).ok().filter(|cell| *cell < 1 << 31);
        self.put(cell, &(-header).to_le_bytes());
        self.put(cell + CELL_HEADER, body);
        self.next += size;
        offset.ok_or_else(too_large)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bins.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Writes into a cell that was placed.
    fn patch(&mut self, cell: u32, at: usize, value: u32) {
        self.put(cell as usize + CELL_HEADER + at, &value.to_le_bytes());
    }

    fn end_bin(&mut self) {
        let rest = self.bins.len() - self.next;
        if rest >= 8 {
            self.put(self.next, &(rest as i32).to_le_bytes());
        }
    }

    fn new_bin(&mut self, cell: usize) {
        if self.next != 0 {
            self.end_bin();
        }
        self.bin = self.bins.len();
        let size = (BIN_HEADER + cell).next_multiple_of(BIN_UNIT);
        self.bins.resize(self.bin + size, 0);
        self.put(self.bin, b"hbin");
        self.put(self.bin + 4, &(self.bin as u32).to_le_bytes());
        self.put(self.bin + 8, &(size as u32).to_le_bytes());
        self.next = self.bin + BIN_HEADER;
    }

    fn finish(mut self, written: i64) -> Vec<u8> {
        self.end_bin();
        // Only the first bin has the time.
        self.put(20, &written.to_le_bytes());
        self.bins
    }

    /// Places every descriptor once, in a ring.
    fn securities<'a>(&mut self, root: &'a Key) -> Result<Securities<'a>> {
        let mut counts: BTreeMap<&[u8], u32> = BTreeMap::new();
        let mut stack = vec![root];
        while let Some(key) = stack.pop() {
            if !key.security.is_empty() {
                *counts.entry(&*key.security).or_default() += 1;
            }
            stack.extend(&key.subkeys);
        }
        let mut placed = Securities::new();
        let mut ring = Vec::new();
        for (descriptor, count) in counts {
            let mut body = b"sk\0\0".to_vec();
            body.extend_from_slice(&[0; 8]);
            body.extend_from_slice(&count.to_le_bytes());
            let len = u32::try_from(descriptor.len());
            let len = len.map_err(|_| failed(root, "has too long a security descriptor"))?;
            body.extend_from_slice(&len.to_le_bytes());
            body.extend_from_slice(descriptor);
            let cell = self.place(&body)?;
            placed.insert(descriptor, cell);
            ring.push(cell);
        }
        let after = ring.iter().cycle().skip(1);
        for (cell, next) in ring.iter().zip(after) {
            self.patch(*cell, 4, *next);
            self.patch(*next, 8, *cell);
        }
        Ok(placed)
    }

    /// Places a key whose content comes later.
    fn reserve(&mut self, key: &Key) -> Result<u32> {
        let (name, _) = name_bytes(&key.name);
        self.place(&vec![0; KEY_HEADER + name.len()])
    }

    /// Fills a reserved key and places everything below it.
    fn subtree(
        &mut self,
        key: &Key,
        cell: u32,
        parent: u32,
        depth: usize,
        security: &Securities<'_>,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(failed(key, "is too deep"));
        }
        self.key(key, cell, parent, security)?;
        let mut sorted: Vec<&Key> = key.subkeys.iter().collect();
        sorted.sort_by(|a, b| compare_names(&a.name, &b.name));
        let mut entries = Vec::with_capacity(sorted.len());
        for subkey in sorted {
            let below = self.reserve(subkey)?;
            self.subtree(subkey, below, cell, depth + 1, security)?;
            entries.push((below, name_hash(&subkey.name)));
        }
        let list = self.subkey_list(&entries).map_err(|_| failed(key, "has too many subkeys"))?;
        self.patch(cell, 28, list);
        Ok(())
    }

    fn subkey_list(&mut self, entries: &[(u32, u32)]) -> Result<u32> {
        let mut lists = Vec::new();
        for part in entries.chunks(MAX_LEAF) {
            let mut body = b"lh".to_vec();
            body.extend_from_slice(&(part.len() as u16).to_le_bytes());
            for (cell, hash) in part {
                body.extend_from_slice(&cell.to_le_bytes());
                body.extend_from_slice(&hash.to_le_bytes());
            }
            lists.push(self.place(&body)?);
        }
        match lists.as_slice() {
            [] => Ok(NO_CELL),
            [one] => Ok(*one),
            many => {
                let count = u16::try_from(many.len());
                let count = count.map_err(|_| failed(&Key::default(), "has too many subkeys"))?;
                let mut body = b"ri".to_vec();
                body.extend_from_slice(&count.to_le_bytes());
                body.extend_from_slice(&offsets(many));
                self.place(&body)
            }
        }
    }

    /// Fills a key and places its values and class; its list of subkeys is patched in later.
    fn key(&mut self, key: &Key, cell: u32, parent: u32, security: &Securities<'_>) -> Result<()> {
        let values = self.values(key)?;
        let class_bytes: Vec<u8> = key.class.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let class = if class_bytes.is_empty() { NO_CELL } else { self.place(&class_bytes)? };
        let (name, is_compressed) = name_bytes(&key.name);
        let mut flags = if is_compressed { KEY_COMP_NAME } else { 0 };
        if key.is_link {
            flags |= KEY_SYM_LINK;
        }
        if parent == NO_CELL {
            flags |= KEY_HIVE_ENTRY | KEY_NO_DELETE;
        }
        let longest = |lens: &mut dyn Iterator<Item = usize>| lens.max().unwrap_or(0) as u32;
        let longest_subkey = longest(&mut key.subkeys.iter().map(|key| key.name.len() * 2));
        let longest_class = longest(&mut key.subkeys.iter().map(|key| key.class.len() * 2));
        let longest_name = longest(&mut key.values.iter().map(|value| value.name.len() * 2));
        let longest_data = longest(&mut key.values.iter().map(|value| value.data.len()));
        let bits = u32::from(key.user_flags & 0xF) | u32::from(key.control_flags & 0xF) << 4;
        let security = security.get(&*key.security).copied().unwrap_or(NO_CELL);
        let mut body = b"nk".to_vec();
        body.extend_from_slice(&flags.to_le_bytes());
        body.extend_from_slice(&key.last_write.to_le_bytes());
        for field in [
            0,
            parent,
            key.subkeys.len() as u32,
            0,
            NO_CELL,
            NO_CELL,
            key.values.len() as u32,
            values,
            security,
            class,
            longest_subkey & 0xFFFF | bits << 16,
            longest_class,
            longest_name,
            longest_data,
            0,
        ] {
            body.extend_from_slice(&field.to_le_bytes());
        }
        for len in [name.len(), class_bytes.len()] {
            let len = u16::try_from(len).map_err(|_| failed(key, "has too long a name"))?;
            body.extend_from_slice(&len.to_le_bytes());
        }
        body.extend_from_slice(&name);
        self.put(cell as usize + CELL_HEADER, &body);
        Ok(())
    }

    fn values(&mut self, key: &Key) -> Result<u32> {
        if key.values.is_empty() {
            return Ok(NO_CELL);
        }
        let cells: Result<Vec<u32>> =
            key.values.iter().map(|value| self.value(key, value)).collect();
        self.place(&offsets(&cells?))
    }

    fn value(&mut self, key: &Key, value: &Value) -> Result<u32> {
        let (name, is_compressed) = name_bytes(&value.name);
        let name_len = u16::try_from(name.len());
        let name_len = name_len.map_err(|_| failed(key, "has a value of too long a name"))?;
        let len = u32::try_from(value.data.len()).ok().filter(|len| len & RESIDENT == 0);
        let len = len.ok_or_else(|| failed(key, "has a value of too much data"))?;
        let (size, data) = match value.data.len() {
            0..=MAX_RESIDENT => {
                let mut data = [0; 4];
                data.iter_mut().zip(&value.data).for_each(|(to, from)| *to = *from);
                (len | RESIDENT, u32::from_le_bytes(data))
            }
            _ => (len, self.data(key, &value.data)?),
        };
        let mut body = b"vk".to_vec();
        body.extend_from_slice(&name_len.to_le_bytes());
        for field in [size, data, value.kind] {
            body.extend_from_slice(&field.to_le_bytes());
        }
        let flags = if is_compressed { VALUE_COMP_NAME } else { 0 };
        body.extend_from_slice(&flags.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        body.extend_from_slice(&name);
        self.place(&body)
    }

    fn data(&mut self, key: &Key, data: &[u8]) -> Result<u32> {
        if data.len() <= BIG_DATA_SEGMENT {
            return self.place(data);
        }
        let cells: Result<Vec<u32>> =
            data.chunks(BIG_DATA_SEGMENT).map(|segment| self.segment(segment)).collect();
        let cells = cells?;
        let count = u16::try_from(cells.len());
        let count = count.map_err(|_| failed(key, "has a value of too much data"))?;
        let list = self.place(&offsets(&cells))?;
        let mut body = b"db".to_vec();
        body.extend_from_slice(&count.to_le_bytes());
        body.extend_from_slice(&list.to_le_bytes());
        self.place(&body)
    }

    /// A segment has four bytes behind its data, which readers expect to find there.
    fn segment(&mut self, segment: &[u8]) -> Result<u32> {
        let mut body = segment.to_vec();
        body.extend_from_slice(&[0; 4]);
        self.place(&body)
    }
}
