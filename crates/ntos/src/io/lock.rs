//! Byte-range locks (`FsRtl` file locks).
//!
//! Key types: [`LockTable`], [`LockOwner`]. A lock belongs to a file object, a process and a key; a request of another
//! owner that meets an exclusive lock fails.

use abi::NtResult;
use abi::status_table::*;

/// Who holds a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockOwner {
    /// Serial number of the file object.
    pub file: u64,
    /// Process id.
    pub process: u64,
    /// The key.
    pub key: u32,
}

#[derive(Clone, Copy, Debug)]
struct Lock {
    owner: LockOwner,
    first: u64,
    /// One past the last byte; a lock of no bytes has it equal to `first`.
    end: u128,
    exclusive: bool,
}

impl Lock {
    fn meets(&self, first: u64, end: u128) -> bool {
        u128::from(self.first) < end && u128::from(first) < self.end
    }
}

/// The locks of one file.
#[derive(Debug, Default)]
pub struct LockTable {
    locks: Vec<Lock>,
}

fn end_of(offset: u64, length: u64) -> u128 {
    u128::from(offset) + u128::from(length)
}

impl LockTable {
    /// True if nothing is locked.
    pub fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }

    /// Takes a lock; `STATUS_LOCK_NOT_GRANTED` if another one is in the way.
    pub fn lock(
        &mut self,
        owner: LockOwner,
        offset: u64,
        length: u64,
        exclusive: bool,
    ) -> NtResult<()> {
        let end = end_of(offset, length);
        if length != 0 && end > 1 << 64 {
            return Err(STATUS_INVALID_LOCK_RANGE);
        }
        let in_the_way = |lock: &Lock| (exclusive || lock.exclusive) && lock.meets(offset, end);
        if self.locks.iter().any(in_the_way) {
            return Err(STATUS_LOCK_NOT_GRANTED);
        }
        self.locks.push(Lock { owner, first: offset, end, exclusive });
        Ok(())
    }

    /// Gives a lock back; the range must be the locked one exactly. An exclusive lock goes first.
    pub fn unlock(&mut self, owner: LockOwner, offset: u64, length: u64) -> NtResult<()> {
        let end = end_of(offset, length);
        let same = |lock: &Lock| lock.owner == owner && lock.first == offset && lock.end == end;
        let found = self
            .locks
            .iter()
            .position(|lock| same(lock) && lock.exclusive)
            .or_else(|| self.locks.iter().position(same));
        self.locks.remove(found.ok_or(STATUS_RANGE_NOT_LOCKED)?);
        Ok(())
    }

    /// Gives back everything that a file object holds.
    pub fn unlock_file(&mut self, file: u64) {
        self.locks.retain(|lock| lock.owner.file != file);
    }

    /// Fails if a read or write meets a lock that forbids it.
    pub fn check(&self, owner: LockOwner, offset: u64, length: u64, writes: bool) -> NtResult<()> {
        if self.locks.is_empty() || length == 0 {
            return Ok(());
        }
        let end = end_of(offset, length);
        // A shared lock forbids writing even to its owner; an exclusive one allows its owner everything.
        let forbids = |lock: &Lock| {
            lock.meets(offset, end) && if lock.exclusive { lock.owner != owner } else { writes }
        };
        if self.locks.iter().any(forbids) { Err(STATUS_FILE_LOCK_CONFLICT) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(file: u64) -> LockOwner {
        LockOwner { file, process: 8, key: 0 }
    }

    #[test]
    fn exclusive_locks_keep_others_out() {
        let mut table = LockTable::default();
        table.lock(owner(1), 10, 10, true).unwrap();
        assert_eq!(table.lock(owner(2), 19, 1, false), Err(STATUS_LOCK_NOT_GRANTED));
        table.lock(owner(2), 20, 1, true).unwrap();
        assert_eq!(table.check(owner(2), 0, 11, false), Err(STATUS_FILE_LOCK_CONFLICT));
        table.check(owner(1), 0, 20, true).unwrap();
        assert_eq!(table.unlock(owner(1), 10, 9), Err(STATUS_RANGE_NOT_LOCKED));
        table.unlock(owner(1), 10, 10).unwrap();
        table.check(owner(2), 0, 15, true).unwrap();
    }

    #[test]
    fn shared_locks_let_read_and_nobody_write() {
        let mut table = LockTable::default();
        table.lock(owner(1), 0, 8, false).unwrap();
        table.lock(owner(2), 4, 8, false).unwrap();
        table.check(owner(3), 0, 8, false).unwrap();
        assert!(table.check(owner(1), 0, 1, true).is_err());
        table.unlock_file(1);
        table.check(owner(1), 0, 4, true).unwrap();
    }

    #[test]
    fn the_last_byte_can_be_locked_and_nothing_beyond() {
        let mut table = LockTable::default();
        table.lock(owner(1), u64::MAX, 1, true).unwrap();
        assert_eq!(table.lock(owner(1), u64::MAX, 2, true), Err(STATUS_INVALID_LOCK_RANGE));
    }
}
