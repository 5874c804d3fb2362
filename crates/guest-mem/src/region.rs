//! The host mapping behind guest memory: the only `unsafe` code of this crate.
//!
//! See `SOUNDNESS.md` for the whole argument. Key type: [`Region`]. Neighbour: [`crate::ram`].

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A plain value that can be copied to and from guest memory.
pub trait Scalar: FromBytes + IntoBytes + Immutable + Copy {}
impl<T: FromBytes + IntoBytes + Immutable + Copy> Scalar for T {}

#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Packed<T>(T);

/// One fixed host mapping, shared (memfd) or private (anonymous).
pub struct Region {
    base: *mut u8,
    len: usize,
    /// Serializes the rare atomic operation on an unaligned address.
    split_lock: Mutex<()>,
}

// SAFETY: the mapping is plain memory with no thread affinity; every access is volatile or atomic.
unsafe impl Send for Region {}
// SAFETY: as above; concurrent access is what guest processors do, see SOUNDNESS.md point 4.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `len` bytes of a fresh memfd, lazily populated. `len` must be at least 16.
    pub fn shared(name: &str, len: usize) -> std::io::Result<Self> {
        assert!(len >= 16);
        let memfd = memfd_create(name, MemfdFlags::CLOEXEC)?;
        ftruncate(&memfd, len as u64)?;
        // SAFETY: a new mapping at an address the kernel chooses touches no existing memory.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE,
                &memfd,
                0,
            )
        }?;
        Ok(Self { base: base.cast(), len, split_lock: Mutex::new(()) })
    }

    /// Maps `len` zero bytes of private memory, lazily populated. `len` must be at least 16.
    pub fn private(len: usize) -> std::io::Result<Self> {
        assert!(len >= 16);
        // SAFETY: a new mapping at an address the kernel chooses touches no existing memory.
        let base = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        Ok(Self { base: base.cast(), len, split_lock: Mutex::new(()) })
    }

    /// Asks the host to back the range with memory now, in one call instead of one fault a page.
    ///
    /// A hint: a host that cannot do it faults the pages in later.
    pub fn populate(&self, offset: usize, len: usize) {
        if let Some(at) = self.at(offset, len) {
            // SAFETY: `at` proved the range to lie in the mapping; populating changes no contents.
            let _ = unsafe { madvise(at.cast::<c_void>(), len, Advice::LinuxPopulateWrite) };
        }
    }

    #[inline(always)]
    fn at(&self, offset: usize, size: usize) -> Option<*mut u8> {
        if size <= self.len && offset <= self.len - size {
            // SAFETY: offset + size <= len, inside the one mapping that `base` starts.
            Some(unsafe { self.base.add(offset) })
        } else {
            None
        }
    }

    /// Reads a value; `None` beyond the end.
    #[inline(always)]
    pub fn load<T: Scalar>(&self, offset: usize) -> Option<T> {
        let at = self.at(offset, size_of::<T>())?;
        // SAFETY: in range (`at`), alignment 1 (`Packed`), any bits are valid (`FromBytes`).
        Some(unsafe { at.cast::<Packed<T>>().read_volatile() }.0)
    }

    /// Writes a value; `false` beyond the end.
    #[inline(always)]
    pub fn store<T: Scalar>(&self, offset: usize, value: T) -> bool {
        let Some(at) = self.at(offset, size_of::<T>()) else { return false };
        // SAFETY: in range (`at`), alignment 1 (`Packed`), no padding is exposed (`IntoBytes`).
        unsafe { at.cast::<Packed<T>>().write_volatile(Packed(value)) };
        true
    }

    /// Copies bytes out; `false`, with `into` untouched, when the range passes the end.
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) -> bool {
        let Some(at) = self.at(offset, into.len()) else { return false };
        // SAFETY: the source range is in the mapping (`at`), the target is a live distinct slice.
        unsafe { ptr::copy_nonoverlapping(at, into.as_mut_ptr(), into.len()) };
        true
    }

    /// Copies bytes in; `false`, with nothing written, when the range passes the end.
    pub fn copy_in(&self, offset: usize, from: &[u8]) -> bool {
        let Some(at) = self.at(offset, from.len()) else { return false };
        // SAFETY: the target range is in the mapping (`at`), the source is a live distinct slice.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), at, from.len()) };
        true
    }

    /// Copies within the region; ranges may overlap.
    pub fn copy_within(&self, from: usize, to: usize, len: usize) -> bool {
        let (Some(source), Some(target)) = (self.at(from, len), self.at(to, len)) else {
            return false;
        };
        // SAFETY: both ranges are in the mapping (`at`); `copy` allows overlap.
        unsafe { ptr::copy(source, target, len) };
        true
    }

    /// Sets `len` bytes to `byte`; `false`, with nothing written, when the range passes the end.
    pub fn fill(&self, offset: usize, len: usize, byte: u8) -> bool {
        let Some(at) = self.at(offset, len) else { return false };
        // SAFETY: the range is in the mapping (`at`).
        unsafe { ptr::write_bytes(at, byte, len) };
        true
    }

    /// Atomically swaps a byte; `None` beyond the end.
    #[inline]
    pub fn swap_u8(&self, offset: usize, value: u8) -> Option<u8> {
        let at = self.at(offset, 1)?;
        // SAFETY: in range (`at`); a byte is always aligned; concurrent access is atomic or volatile.
        Some(unsafe { AtomicU8::from_ptr(at) }.swap(value, Ordering::AcqRel))
    }
}

macro_rules! compare_exchange {
    ($name:ident, $int:ty, $atomic:ty) => {
        impl Region {
            /// Atomically replaces the value if it equals `expected`: `Ok(old)` if replaced, else `Err(found)`.
            ///
            /// The outer `None` is a range beyond the end. An unaligned value is exchanged under a lock that
            /// orders it against other unaligned exchanges only.
            #[inline]
            pub fn $name(
                &self,
                offset: usize,
                expected: $int,
                new: $int,
            ) -> Option<Result<$int, $int>> {
                let at = self.at(offset, size_of::<$int>())?;
                if at.addr() % align_of::<$atomic>() == 0 {
                    // SAFETY: in range (`at`) and aligned (checked); other accesses are atomic or volatile.
                    let cell = unsafe { <$atomic>::from_ptr(at.cast()) };
                    return Some(cell.compare_exchange(
                        expected,
                        new,
                        Ordering::SeqCst,
                        Ordering::SeqCst,
                    ));
                }
                let _split = self.split_lock.lock();
                let found = self.load::<$int>(offset)?;
                if found != expected {
                    return Some(Err(found));
                }
                self.store(offset, new);
                Some(Ok(found))
            }
        }
    };
}
compare_exchange!(compare_exchange_u8, u8, AtomicU8);
compare_exchange!(compare_exchange_u16, u16, AtomicU16);
compare_exchange!(compare_exchange_u32, u32, AtomicU32);
compare_exchange!(compare_exchange_u64, u64, AtomicU64);

impl Region {
    /// 128-bit form of [`Region::compare_exchange_u64`].
    ///
    /// Stable Rust has no 128-bit atomic, so all of them are ordered by one lock; a concurrent 64-bit atomic to
    /// half of the value is not ordered against it on a machine with several processors.
    pub fn compare_exchange_u128(
        &self,
        offset: usize,
        expected: u128,
        new: u128,
    ) -> Option<Result<u128, u128>> {
        let _split = self.split_lock.lock();
        let found = self.load::<u128>(offset)?;
        if found != expected {
            return Some(Err(found));
        }
        self.store(offset, new);
        Some(Ok(found))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are those of our own mapping, and no pointer into it outlives `self`.
        let _ = unsafe { munmap(self.base.cast(), self.len) };
    }
}
