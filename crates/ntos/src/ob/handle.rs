//! Handle tables: what a process holds.
//!
//! Key types: [`HandleTable`], [`HandleEntry`]. A handle is the entry's index times four, as in NT; the low two bits
//! are ignored. Freed entries are reused last-in first-out.

use abi::NtResult;
use abi::status_table::*;

use super::object::AnyRef;

/// One open handle.
#[derive(Clone)]
pub struct HandleEntry {
    /// The object.
    pub object: AnyRef,
    /// Granted rights.
    pub access: u32,
    /// `OBJ_INHERIT`, and `OBJ_PROTECT_CLOSE` in bit 0 as NT stores it.
    pub attributes: u32,
}

/// Attribute bit of an entry that must not be closed.
pub const OBJ_PROTECT_CLOSE: u32 = 1;

/// Handles a process can have: NT's limit.
const MAX_HANDLES: usize = 1 << 24;

/// A process's handles.
#[derive(Default)]
pub struct HandleTable {
    entries: Vec<Option<HandleEntry>>,
    free: Vec<usize>,
}

impl HandleTable {
    /// Enters an object and returns its handle.
    pub fn insert(&mut self, entry: HandleEntry) -> NtResult<u64> {
        entry.object.header().add_handle();
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.entries.len() >= MAX_HANDLES => {
                entry.object.header().remove_handle();
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            None => {
                self.entries.push(None);
                self.entries.len() - 1
            }
        };
        if let Some(slot) = self.entries.get_mut(index) {
            *slot = Some(entry);
        }
        Ok((index as u64 + 1) * 4)
    }

    fn index(handle: u64) -> Option<usize> {
        usize::try_from((handle / 4).checked_sub(1)?).ok()
    }

    /// Looks a handle up.
    pub fn get(&self, handle: u64) -> NtResult<&HandleEntry> {
        Self::index(handle)
            .and_then(|index| self.entries.get(index))
            .and_then(Option::as_ref)
            .ok_or(STATUS_INVALID_HANDLE)
    }

    /// Looks a handle up for changing its attributes.
    pub fn get_mut(&mut self, handle: u64) -> NtResult<&mut HandleEntry> {
        Self::index(handle)
            .and_then(|index| self.entries.get_mut(index))
            .and_then(Option::as_mut)
            .ok_or(STATUS_INVALID_HANDLE)
    }

    /// Removes a handle and returns what it held; [`super::closed`] must be called with it.
    pub fn remove(&mut self, handle: u64) -> NtResult<HandleEntry> {
        let index = Self::index(handle).ok_or(STATUS_INVALID_HANDLE)?;
        let slot = self.entries.get_mut(index).ok_or(STATUS_INVALID_HANDLE)?;
        let entry = slot.as_ref().ok_or(STATUS_INVALID_HANDLE)?;
        if entry.attributes & OBJ_PROTECT_CLOSE != 0 {
            return Err(STATUS_HANDLE_NOT_CLOSABLE);
        }
        let entry = slot.take().ok_or(STATUS_INVALID_HANDLE)?;
        self.free.push(index);
        Ok(entry)
    }

    /// Every open handle in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &HandleEntry)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| Some(((index as u64 + 1) * 4, slot.as_ref()?)))
    }

    /// Handles open.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// True when no handle is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Empties the table, protected handles included; [`super::closed`] must be called with each.
    pub fn take_all(&mut self) -> Vec<HandleEntry> {
        self.free.clear();
        self.entries.drain(..).flatten().collect()
    }

    /// A copy for a child process: the wanted entries at the same handle values.
    pub fn inherit_where(&self, wanted: impl Fn(u64, &HandleEntry) -> bool) -> HandleTable {
        let mut child = HandleTable::default();
        for (index, slot) in self.entries.iter().enumerate() {
            let handle = (index as u64 + 1) * 4;
            let inherited = slot.as_ref().filter(|entry| wanted(handle, entry));
            if let Some(entry) = inherited {
                entry.object.header().add_handle();
                child.entries.push(Some(entry.clone()));
            } else {
                child.entries.push(None);
                child.free.push(index);
            }
        }
        child.free.reverse();
        child
    }
}
