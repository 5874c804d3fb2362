//! Change notification: what the guest itself changes on a volume is told to those who watch.
//!
//! Key types: [`Watch`], [`Watchers`]. After its first request a watch collects changes between requests, as NT does.

use std::sync::{Arc, Weak};

use abi::NtResult;
use abi::status_table::*;
use ntos::Kernel;
use ntos::guarded::Guarded;
use ntos::io::irp::{self, IoResult, Irp, Outcome, Request};
use ntos::ustr::UnicodeString;

use super::tree::{Path, starts_with};

pub const FILE_NOTIFY_CHANGE_FILE_NAME: u32 = 1;
pub const FILE_NOTIFY_CHANGE_DIR_NAME: u32 = 2;
pub const FILE_NOTIFY_CHANGE_ATTRIBUTES: u32 = 4;
pub const FILE_NOTIFY_CHANGE_SIZE: u32 = 8;
pub const FILE_NOTIFY_CHANGE_LAST_WRITE: u32 = 0x10;

/// `FILE_ACTION_…`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Action {
    /// A new name.
    Added = 1,
    /// A name that is gone.
    Removed = 2,
    /// New content or attributes.
    Modified = 3,
    /// The old name of a renamed file.
    RenamedOldName = 4,
    /// Its new name.
    RenamedNewName = 5,
}

/// Changes kept for a watch between its requests.
const MAX_QUEUED: usize = 4096;

/// A watched directory.
pub struct Watch {
    path: Path,
    state: Guarded<WatchState>,
}

struct WatchState {
    filter: u32,
    tree: bool,
    queued: Vec<(Action, UnicodeString)>,
    overflowed: bool,
    waiting: Option<Arc<Irp>>,
}

/// The watches of a volume.
#[derive(Default)]
pub struct Watchers {
    all: Guarded<Vec<Weak<Watch>>>,
}

/// `FILE_NOTIFY_INFORMATION` records; `None` if they do not fit.
fn pack(queued: &[(Action, UnicodeString)], room: usize) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut last = 0;
    for (action, name) in queued {
        let start = bytes.len().next_multiple_of(4);
        bytes.resize(start, 0);
        if start != 0 {
            let step = (start - last) as u32;
            bytes.get_mut(last..last + 4)?.copy_from_slice(&step.to_le_bytes());
        }
        bytes.extend(0u32.to_le_bytes());
        bytes.extend((*action as u32).to_le_bytes());
        bytes.extend((name.len() as u32 * 2).to_le_bytes());
        bytes.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
        last = start;
    }
    (bytes.len() <= room).then_some(bytes)
}

impl Watch {
    /// Answers a request at once with what was collected.
    fn answer(&self, k: &mut Kernel, irp: &Arc<Irp>) -> NtResult<Option<Outcome>> {
        let Request::Notify { buffer, .. } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        let (queued, overflowed) = {
            let mut state = self.state.open();
            if state.queued.is_empty() && !state.overflowed {
                return Ok(None);
            }
            (std::mem::take(&mut state.queued), std::mem::take(&mut state.overflowed))
        };
        match pack(&queued, buffer.len) {
            Some(bytes) if !overflowed => {
                buffer.write(k, 0, &bytes)?;
                Ok(Some(Outcome::Done(STATUS_SUCCESS, bytes.len() as u64)))
            }
            _ => Ok(Some(Outcome::Done(STATUS_NOTIFY_ENUM_DIR, 0))),
        }
    }

    /// Takes a request: the first one starts the watch.
    pub fn request(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        if let Some(outcome) = self.answer(k, irp)? {
            return Ok(outcome);
        }
        self.state.open().waiting = Some(irp.clone());
        Ok(Outcome::Pending)
    }

    /// What a change is called seen from the watched directory; `None` if it is not watched.
    fn relative(&self, path: &Path, filter: u32) -> Option<UnicodeString> {
        let state = self.state.open();
        let beneath = path.get(self.path.len()..).filter(|rest| !rest.is_empty())?;
        if state.filter & filter == 0 || !starts_with(path, &self.path) {
            return None;
        }
        if beneath.len() > 1 && !state.tree {
            return None;
        }
        let parts: Vec<&[u16]> = beneath.iter().map(|part| part.0.as_slice()).collect();
        Some(UnicodeString(parts.join(&u16::from(b'\\'))))
    }

    fn add(&self, action: Action, name: UnicodeString) -> Option<Arc<Irp>> {
        let mut state = self.state.open();
        if state.queued.len() < MAX_QUEUED {
            if state.queued.last() != Some(&(action, name.clone())) {
                state.queued.push((action, name));
            }
        } else {
            state.overflowed = true;
        }
        state.waiting.take().filter(|irp| !irp.is_done())
    }
}

impl Watchers {
    /// Starts a watch.
    pub fn start(&self, path: Path, filter: u32, tree: bool) -> Arc<Watch> {
        let state =
            WatchState { filter, tree, queued: Vec::new(), overflowed: false, waiting: None };
        let watch = Arc::new(Watch { path, state: Guarded::new(state) });
        let mut all = self.all.open();
        all.retain(|watch| watch.strong_count() != 0);
        all.push(Arc::downgrade(&watch));
        watch
    }

    /// Tells of a change.
    pub fn report(&self, k: &mut Kernel, path: &Path, action: Action, filter: u32) {
        let all: Vec<Arc<Watch>> = {
            let all = self.all.open();
            if all.is_empty() {
                return;
            }
            all.iter().filter_map(Weak::upgrade).collect()
        };
        for watch in all {
            let Some(name) = watch.relative(path, filter) else { continue };
            let Some(irp) = watch.add(action, name) else { continue };
            match watch.answer(k, &irp) {
                Ok(Some(Outcome::Done(status, information))) => {
                    irp::complete(k, &irp, status, information);
                }
                Ok(_) => {}
                Err(status) => irp::complete(k, &irp, status, 0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_chained_and_must_fit() {
        let queued = [(Action::Added, "abc".into()), (Action::Removed, "d".into())];
        let bytes = pack(&queued, 64).unwrap();
        assert_eq!(bytes.len(), 20 + 14);
        assert_eq!(bytes[..4], 20u32.to_le_bytes());
        assert_eq!(bytes[20..28], [0, 0, 0, 0, 2, 0, 0, 0]);
        assert!(pack(&queued, 33).is_none());
    }

    #[test]
    fn only_what_is_beneath_and_asked_for_is_told() {
        let watchers = Watchers::default();
        let path = |text: &str| super::super::tree::components(text);
        let flat = watchers.start(path("a"), FILE_NOTIFY_CHANGE_FILE_NAME, false);
        let name = |watch: &Watch, text, filter| watch.relative(&path(text), filter);
        assert_eq!(name(&flat, "A\\x", 1), Some("x".into()));
        assert_eq!(name(&flat, "a\\x", FILE_NOTIFY_CHANGE_SIZE), None);
        assert_eq!(name(&flat, "a\\b\\x", 1), None);
        assert_eq!(name(&flat, "a", 1), None);
        assert_eq!(name(&flat, "c\\x", 1), None);
        let deep = watchers.start(path("a"), 1, true);
        assert_eq!(name(&deep, "a\\b\\x", 1), Some("b\\x".into()));
    }
}
