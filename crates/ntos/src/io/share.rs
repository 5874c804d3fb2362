//! Share modes: who may open a file while others have it open (`IoCheckShareAccess`).

use abi::NtResult;
use abi::io::*;
use abi::ob::DELETE;
use abi::status_table::STATUS_SHARING_VIOLATION;

/// What an open asks for and allows others, as far as sharing goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sharing {
    access: [bool; 3],
    share: [bool; 3],
}

impl Sharing {
    /// From the granted rights and the share mode. An open that neither reads, writes nor deletes does not count.
    pub fn new(access: u32, share: u32) -> Self {
        let access = [
            access & (FILE_READ_DATA | FILE_EXECUTE) != 0,
            access & (FILE_WRITE_DATA | FILE_APPEND_DATA) != 0,
            access & DELETE != 0,
        ];
        let share = [FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_SHARE_DELETE].map(|s| share & s != 0);
        Sharing { access, share }
    }

    fn counts(self) -> bool {
        self.access.contains(&true)
    }
}

/// The opens of one file (`SHARE_ACCESS`).
#[derive(Debug, Default)]
pub struct ShareAccess {
    opens: u32,
    access: [u32; 3],
    share: [u32; 3],
}

impl ShareAccess {
    /// Fails if an open does not go with those that are there.
    pub fn check(&self, open: Sharing) -> NtResult<()> {
        if !open.counts() {
            return Ok(());
        }
        for ((wanted, allowed), (has, shares)) in
            open.access.iter().zip(&open.share).zip(self.access.iter().zip(&self.share))
        {
            let refused_by_others = *wanted && *shares < self.opens;
            let refuses_others = !allowed && *has > 0;
            if refused_by_others || refuses_others {
                return Err(STATUS_SHARING_VIOLATION);
            }
        }
        Ok(())
    }

    /// Counts an open.
    pub fn add(&mut self, open: Sharing) {
        self.adjust(open, |count| *count += 1);
    }

    /// Takes an open back.
    pub fn remove(&mut self, open: Sharing) {
        self.adjust(open, |count| *count = count.saturating_sub(1));
    }

    /// True if someone may write the file.
    pub fn has_writers(&self) -> bool {
        let [_, writers, _] = self.access;
        writers > 0
    }

    fn adjust(&mut self, open: Sharing, change: impl Fn(&mut u32)) {
        if !open.counts() {
            return;
        }
        change(&mut self.opens);
        let counts = self.access.iter_mut().chain(&mut self.share);
        for (count, set) in counts.zip(open.access.iter().chain(&open.share)) {
            if *set {
                change(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sharing(access: u32, share: u32) -> Sharing {
        Sharing::new(access, share)
    }

    #[test]
    fn readers_share_and_a_writer_is_refused() {
        let mut all = ShareAccess::default();
        let reader = sharing(FILE_READ_DATA, FILE_SHARE_READ);
        all.check(reader).unwrap();
        all.add(reader);
        all.check(reader).unwrap();
        let writer = sharing(FILE_WRITE_DATA, 7);
        assert_eq!(all.check(writer), Err(STATUS_SHARING_VIOLATION));
        all.remove(reader);
        all.check(writer).unwrap();
    }

    #[test]
    fn an_open_for_attributes_neither_refuses_nor_is_refused() {
        let mut all = ShareAccess::default();
        all.add(sharing(FILE_READ_DATA | FILE_WRITE_DATA, 0));
        let attributes = sharing(FILE_READ_ATTRIBUTES, 0);
        all.check(attributes).unwrap();
        all.add(attributes);
        assert!(all.check(sharing(FILE_READ_DATA, 7)).is_err());
    }

    #[test]
    fn a_newcomer_must_allow_what_others_have() {
        let mut all = ShareAccess::default();
        all.add(sharing(FILE_WRITE_DATA, 7));
        assert!(all.check(sharing(FILE_READ_DATA, FILE_SHARE_READ)).is_err());
        all.check(sharing(FILE_READ_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE)).unwrap();
        assert!(all.check(sharing(DELETE, FILE_SHARE_READ)).is_err());
    }
}
