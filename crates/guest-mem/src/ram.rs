//! Guest physical memory: a pool of page frames.
//!
//! [`GuestRam`] hands out frames, reads and writes them by copy, and knows which frames hold code that a processor
//! has decoded, so that a write from anywhere makes the processor forget it. Neighbours: `region` below,
//! [`crate::paging`] above.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::region::{Region, Scalar};

/// Bytes in a page frame.
pub const PAGE_SIZE: u64 = 0x1000;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;

/// A guest-physical byte address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Pa(pub u64);

/// A page frame number: the physical address shifted right by [`PAGE_SHIFT`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Pfn(pub u64);

impl Pa {
    /// The frame this address lies in.
    #[inline(always)]
    pub const fn pfn(self) -> Pfn {
        Pfn(self.0 >> PAGE_SHIFT)
    }
}

impl Pfn {
    /// The address of byte `offset` of the frame.
    #[inline(always)]
    pub const fn at(self, offset: u64) -> Pa {
        Pa((self.0 << PAGE_SHIFT) | offset)
    }
}

/// No frame is free: the machine's memory limit is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfFrames;

/// Frames populated with host memory in one call.
const POPULATE_FRAMES: u64 = 64;

struct Frames {
    /// Frames at and above this one were never handed out and read as zero.
    untouched: u64,
    populated: u64,
    free: Vec<u64>,
}

/// The machine's physical memory.
///
/// Frame 0 is never handed out, so `Pfn(0)` can mean "none". All methods take `&self`; accesses beyond the end read
/// as all ones and write nowhere, as an empty bus does.
pub struct GuestRam {
    bytes: Region,
    /// One byte a frame: 1 while a processor holds decoded code of it.
    code: Region,
    frames: Mutex<Frames>,
    total: u64,
    in_use: AtomicU64,
    dirty_code: Mutex<Vec<Pfn>>,
    has_dirty_code: AtomicBool,
}

impl GuestRam {
    /// Makes a pool that can grow to `bytes` of guest memory; host memory is taken as frames are used.
    pub fn new(bytes: u64) -> std::io::Result<Self> {
        let total = (bytes >> PAGE_SHIFT).max(16);
        Ok(Self {
            bytes: Region::shared("nten-ram", (total << PAGE_SHIFT) as usize)?,
            code: Region::private(total as usize)?,
            frames: Mutex::new(Frames { untouched: 1, populated: 1, free: Vec::new() }),
            total,
            in_use: AtomicU64::new(0),
            dirty_code: Mutex::new(Vec::new()),
            has_dirty_code: AtomicBool::new(false),
        })
    }

    /// Frames the pool can hold.
    pub fn total_frames(&self) -> u64 {
        self.total
    }

    /// Frames handed out and not freed.
    pub fn frames_in_use(&self) -> u64 {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Takes a frame of zero bytes.
    pub fn alloc_zeroed(&self) -> Result<Pfn, OutOfFrames> {
        let (pfn, fresh) = self.take()?;
        if !fresh {
            self.bytes.fill(pfn.at(0).0 as usize, PAGE_SIZE as usize, 0);
        }
        Ok(pfn)
    }

    /// Takes a frame whose contents the caller overwrites entirely.
    pub fn alloc_uninit(&self) -> Result<Pfn, OutOfFrames> {
        Ok(self.take()?.0)
    }

    fn take(&self) -> Result<(Pfn, bool), OutOfFrames> {
        let mut frames = self.frames.lock();
        let taken = if let Some(pfn) = frames.free.pop() {
            (Pfn(pfn), false)
        } else {
            if frames.untouched >= self.total {
                return Err(OutOfFrames);
            }
            let pfn = frames.untouched;
            frames.untouched += 1;
            if pfn >= frames.populated {
                let count = POPULATE_FRAMES.min(self.total - pfn);
                frames.populated = pfn + count;
                self.bytes.populate((pfn << PAGE_SHIFT) as usize, (count << PAGE_SHIFT) as usize);
            }
            (Pfn(pfn), true)
        };
        self.in_use.fetch_add(1, Ordering::Relaxed);
        Ok(taken)
    }

    /// Returns a frame to the pool. Decoded code of it is forgotten.
    pub fn free(&self, pfn: Pfn) {
        if pfn.0 == 0 || pfn.0 >= self.total {
            return;
        }
        self.touch_code(pfn);
        self.frames.lock().free.push(pfn.0);
        self.in_use.fetch_sub(1, Ordering::Relaxed);
    }

    /// Reads a value that lies within one frame or in consecutive frames.
    #[inline(always)]
    pub fn load<T: Scalar>(&self, pa: Pa) -> T {
        match self.bytes.load(pa.0 as usize) {
            Some(value) => value,
            None => all_ones(),
        }
    }

    /// Writes a value within one frame, forgetting decoded code there.
    #[inline]
    pub fn store<T: Scalar>(&self, pa: Pa, value: T) {
        self.touch_code(pa.pfn());
        self.bytes.store(pa.0 as usize, value);
    }

    /// Writes a value into a frame that the caller knows to hold no decoded code.
    #[inline(always)]
    pub fn store_data<T: Scalar>(&self, pa: Pa, value: T) {
        self.bytes.store(pa.0 as usize, value);
    }

    /// Copies bytes out of one frame.
    pub fn read(&self, pa: Pa, into: &mut [u8]) {
        if !self.bytes.copy_out(pa.0 as usize, into) {
            into.fill(0xFF);
        }
    }

    /// Copies bytes into one frame, forgetting decoded code there.
    pub fn write(&self, pa: Pa, from: &[u8]) {
        self.touch_code(pa.pfn());
        self.bytes.copy_in(pa.0 as usize, from);
    }

    /// Sets bytes of one frame, forgetting decoded code there.
    pub fn fill(&self, pa: Pa, len: usize, byte: u8) {
        self.touch_code(pa.pfn());
        self.bytes.fill(pa.0 as usize, len, byte);
    }

    /// Copies bytes between two places that each lie within one frame.
    pub fn copy(&self, from: Pa, to: Pa, len: usize) {
        self.touch_code(to.pfn());
        self.bytes.copy_within(from.0 as usize, to.0 as usize, len);
    }

    /// Copies a whole frame.
    pub fn copy_frame(&self, from: Pfn, to: Pfn) {
        self.copy(from.at(0), to.at(0), PAGE_SIZE as usize);
    }

    /// Records that a processor decoded code of this frame; a later write is reported by
    /// [`GuestRam::take_dirty_code`].
    pub fn mark_code(&self, pfn: Pfn) {
        self.code.swap_u8(pfn.0 as usize, 1);
    }

    /// True while decoded code of this frame is live: a processor must not keep a write shortcut to it.
    #[inline]
    pub fn is_code(&self, pfn: Pfn) -> bool {
        self.code.load::<u8>(pfn.0 as usize) == Some(1)
    }

    /// Forgets decoded code of a frame that is about to change.
    #[inline]
    pub fn touch_code(&self, pfn: Pfn) {
        if self.is_code(pfn) {
            self.forget_code(pfn);
        }
    }

    #[cold]
    fn forget_code(&self, pfn: Pfn) {
        if self.code.swap_u8(pfn.0 as usize, 0) == Some(1) {
            self.dirty_code.lock().push(pfn);
            self.has_dirty_code.store(true, Ordering::Release);
        }
    }

    /// Moves out the frames whose decoded code must be dropped before guest code runs on.
    #[inline]
    pub fn take_dirty_code(&self) -> Vec<Pfn> {
        if !self.has_dirty_code.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.has_dirty_code.store(false, Ordering::Release);
        std::mem::take(&mut *self.dirty_code.lock())
    }
}

macro_rules! exchange {
    ($name:ident, $int:ty) => {
        impl GuestRam {
            /// Atomic compare and exchange: `Ok(old)` if replaced, else `Err(found)`.
            #[inline]
            pub fn $name(&self, pa: Pa, expected: $int, new: $int) -> Result<$int, $int> {
                self.touch_code(pa.pfn());
                self.bytes.$name(pa.0 as usize, expected, new).unwrap_or(Err(<$int>::MAX))
            }
        }
    };
}
exchange!(compare_exchange_u8, u8);
exchange!(compare_exchange_u16, u16);
exchange!(compare_exchange_u32, u32);
exchange!(compare_exchange_u64, u64);
exchange!(compare_exchange_u128, u128);

#[cold]
fn all_ones<T: Scalar>() -> T {
    let mut value = T::new_zeroed();
    // `IntoBytes` gives shared bytes only; read back from a buffer of ones.
    let ones = [0xFFu8; 64];
    if let Some(bytes) = ones.get(..size_of::<T>())
        && let Ok(found) = T::read_from_bytes(bytes)
    {
        value = found;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_frame_comes_back_zeroed() {
        let ram = GuestRam::new(1 << 20).unwrap();
        let pfn = ram.alloc_zeroed().unwrap();
        ram.store(pfn.at(8), 0x1122_3344u32);
        ram.free(pfn);
        let again = ram.alloc_zeroed().unwrap();
        assert_eq!(again, pfn);
        assert_eq!(ram.load::<u32>(again.at(8)), 0);
        assert_eq!(ram.frames_in_use(), 1);
    }

    #[test]
    fn the_pool_ends() {
        let ram = GuestRam::new(16 * PAGE_SIZE).unwrap();
        for _ in 1..16 {
            ram.alloc_zeroed().unwrap();
        }
        assert_eq!(ram.alloc_zeroed(), Err(OutOfFrames));
    }

    #[test]
    fn a_write_to_decoded_code_is_reported_once() {
        let ram = GuestRam::new(1 << 20).unwrap();
        let pfn = ram.alloc_zeroed().unwrap();
        ram.mark_code(pfn);
        ram.store(pfn.at(0), 1u8);
        ram.store(pfn.at(0), 2u8);
        assert_eq!(ram.take_dirty_code(), vec![pfn]);
        assert!(ram.take_dirty_code().is_empty());
        assert!(!ram.is_code(pfn));
    }

    #[test]
    fn beyond_the_end_reads_ones_and_writes_nowhere() {
        let ram = GuestRam::new(1 << 20).unwrap();
        let outside = Pa((1 << 20) - 2);
        assert_eq!(ram.load::<u32>(outside), u32::MAX);
        ram.store(outside, 0u32);
        assert_eq!(ram.load::<u16>(outside), 0);
        assert_eq!(ram.compare_exchange_u32(outside, 0, 1), Err(u32::MAX));
    }

    #[test]
    fn exchanges_work_aligned_and_unaligned() {
        let ram = GuestRam::new(1 << 20).unwrap();
        let pfn = ram.alloc_zeroed().unwrap();
        for offset in [0, 3] {
            assert_eq!(ram.compare_exchange_u64(pfn.at(offset), 0, 7), Ok(0));
            assert_eq!(ram.compare_exchange_u64(pfn.at(offset), 0, 9), Err(7));
            ram.store(pfn.at(offset), 0u64);
        }
    }
}
