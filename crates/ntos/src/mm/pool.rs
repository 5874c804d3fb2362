//! The kernel pool: guest memory for object headers and bodies.
//!
//! Key types: [`KernelPool`], [`PoolBlock`]. Blocks are 16-byte aligned, zeroed, and up to a page do not cross one, so
//! that a block has one physical address. Freed blocks are reused by size.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::NtResult;
use abi::status_table::STATUS_INSUFFICIENT_RESOURCES;
use guest_mem::{GuestRam, PAGE_SIZE, Pa, PageTables, Pte, Va};

use crate::guarded::Guarded;

/// Where the pool starts in kernel space.
pub const POOL_BASE: Va = Va(0xFFFF_A000_0000_0000);
/// The end of the range that the shared upper half covers.
pub const POOL_END: Va = Va(0xFFFF_A07F_FFFF_F000);

/// Pool for the executive's objects, mapped at one address in every process.
pub struct KernelPool {
    ram: Arc<GuestRam>,
    tables: Arc<PageTables>,
    state: Guarded<PoolState>,
    serial: AtomicU64,
}

#[derive(Default)]
struct PoolState {
    next: u64,
    free: BTreeMap<u64, Vec<(u64, Pa)>>,
    page: Option<Pa>,
}

impl KernelPool {
    /// Makes an empty pool in the kernel's address space.
    pub fn new(ram: Arc<GuestRam>, tables: Arc<PageTables>) -> Arc<Self> {
        let state = Guarded::new(PoolState { next: POOL_BASE.0, ..PoolState::default() });
        Arc::new(Self { ram, tables, state, serial: AtomicU64::new(0) })
    }

    /// A number that no earlier object of this machine has.
    pub fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes a zeroed block of at most a page.
    pub fn alloc(self: &Arc<Self>, size: u64) -> NtResult<PoolBlock> {
        let size = size.next_multiple_of(16);
        if size > PAGE_SIZE {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let mut state = self.state.open();
        if let Some((va, pa)) = state.free.get_mut(&size).and_then(Vec::pop) {
            drop(state);
            self.ram.fill(pa, size as usize, 0);
            return Ok(PoolBlock { pool: self.clone(), va: Va(va), pa, size });
        }
        let room = match state.page {
            Some(_) => PAGE_SIZE - (state.next & (PAGE_SIZE - 1)),
            None => 0,
        };
        let at_page_start = state.next & (PAGE_SIZE - 1) == 0;
        if state.page.is_none() || room < size || at_page_start {
            let va = Va(state.next).page().0 + if at_page_start { 0 } else { PAGE_SIZE };
            if va >= POOL_END.0 {
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            let pfn = self.ram.alloc_zeroed().map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            let pte = Pte::new(pfn, Pte::WRITE | Pte::NO_EXECUTE);
            self.tables
                .set_entry(&self.ram, Va(va), pte)
                .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            state.next = va;
            state.page = Some(pfn.at(0));
        }
        let va = state.next;
        let page = state.page.ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        state.next += size;
        Ok(PoolBlock {
            pool: self.clone(),
            va: Va(va),
            pa: Pa(page.0 + (va & (PAGE_SIZE - 1))),
            size,
        })
    }
}

/// A pool allocation; dropping it frees it.
pub struct PoolBlock {
    pool: Arc<KernelPool>,
    va: Va,
    pa: Pa,
    size: u64,
}

impl PoolBlock {
    /// Kernel address of the block.
    pub fn va(&self) -> Va {
        self.va
    }

    /// Physical address of byte `offset`.
    pub fn pa_at(&self, offset: u64) -> Pa {
        Pa(self.pa.0 + offset)
    }
}

impl Drop for PoolBlock {
    fn drop(&mut self) {
        self.pool.state.open().free.entry(self.size).or_default().push((self.va.0, self.pa));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_stay_within_a_page_and_are_reused_zeroed() {
        let ram = Arc::new(GuestRam::new(1 << 24).unwrap());
        let tables = Arc::new(PageTables::new(&ram).unwrap());
        let pool = KernelPool::new(ram.clone(), tables);
        let blocks: Vec<_> = (0..100).map(|_| pool.alloc(0x180).unwrap()).collect();
        for block in &blocks {
            assert_eq!(block.va().page(), Va(block.va().0 + 0x17F).page());
            assert_eq!(block.pa_at(0).0 & 0xFFF, block.va().0 & 0xFFF);
        }
        let old = blocks[7].va();
        ram.store(blocks[7].pa_at(0), 5u64);
        drop(blocks);
        let all: Vec<_> = (0..100).map(|_| pool.alloc(0x180).unwrap()).collect();
        let again = all.iter().find(|block| block.va() == old).unwrap();
        assert_eq!(ram.load::<u64>(again.pa_at(0)), 0);
    }
}
