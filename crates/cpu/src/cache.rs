//! Decoded blocks: found by where they lie in physical memory and by the address they were decoded for.
//!
//! Key types: [`Cache`], [`Block`], [`Link`]. A frame's blocks are dropped together when the frame changes. Links within
//! a page live as long as their block; links between pages, and the jump cache, hold under one epoch of the address
//! space (see [`crate::tlb`]). Neighbours: [`crate::decode`] makes blocks, [`crate::interpreter`] runs them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use guest_mem::{Pfn, Va};

use crate::op::Op;

/// The epoch of a link within one page: it holds under every epoch.
pub(crate) const ALWAYS: u64 = u64::MAX;
/// The epoch of a link that was not followed yet.
pub(crate) const NEVER: u64 = 0;
/// Entries of the jump cache.
const JUMPS: usize = 4096;
/// Operations after which the whole cache starts anew.
const MAX_OPS: usize = 4 << 20;

/// Where a direct branch goes.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub target: u64,
    pub epoch: u64,
    pub block: u32,
}

/// A run of operations with one entry and, at branches and at its end, several exits.
pub(crate) struct Block {
    /// The virtual address of the page it lies in.
    pub page: u64,
    pub ops: Box<[Op]>,
    pub links: Box<[Link]>,
    /// The frame of the page that its only instruction runs over into.
    pub second: Option<Pfn>,
    key: Key,
}

/// Physical address, and virtual address with the mode in its unused bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub pa: u64,
    pub va: u64,
}

/// Multiplies and folds: keys are addresses, and nobody can choose them to collide for long.
#[derive(Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<AddressHasher>>;

#[derive(Clone, Copy)]
struct Jump {
    va: u64,
    epoch: u64,
    block: u32,
}

/// All decoded blocks of an engine.
pub(crate) struct Cache {
    blocks: Vec<Block>,
    free: Vec<u32>,
    by_key: Map<Key, u32>,
    by_frame: Map<u64, Vec<u32>>,
    /// Virtual pages, of any address space, that a block was decoded in.
    pages: Map<u64, ()>,
    jumps: Box<[Jump; JUMPS]>,
    ops: usize,
}

impl Cache {
    pub fn new() -> Self {
        Self {
            blocks: Vec::new(),
            free: Vec::new(),
            by_key: Map::default(),
            by_frame: Map::default(),
            pages: Map::default(),
            jumps: Box::new([Jump { va: 0, epoch: NEVER, block: 0 }; JUMPS]),
            ops: 0,
        }
    }

    #[inline(always)]
    pub fn block(&self, index: u32) -> Option<&Block> {
        self.blocks.get(index as usize)
    }

    pub fn find(&self, key: Key) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    /// Adds a block that lies in frame `pfn`, replacing one with the same key.
    pub fn insert(
        &mut self,
        key: Key,
        page: u64,
        ops: Box<[Op]>,
        links: Box<[Link]>,
        second: Option<Pfn>,
    ) -> u32 {
        self.ops += ops.len();
        let block = Block { page, ops, links, second, key };
        let index = match self.free.pop() {
            Some(index) if (index as usize) < self.blocks.len() => {
                self.blocks[index as usize] = block;
                index
            }
            _ => {
                self.blocks.push(block);
                (self.blocks.len() - 1) as u32
            }
        };
        self.by_key.insert(key, index);
        self.pages.insert(page, ());
        if second.is_some() {
            self.pages.insert(page.wrapping_add(guest_mem::PAGE_SIZE), ());
        }
        let frames = [Some(key.pa >> guest_mem::PAGE_SHIFT), second.map(|pfn| pfn.0)];
        for frame in frames.into_iter().flatten() {
            self.by_frame.entry(frame).or_default().push(index);
        }
        index
    }

    /// True if a block was decoded in a virtual page, so that links may rely on where it is mapped.
    pub fn has_code(&self, va: Va) -> bool {
        self.pages.contains_key(&va.page().0)
    }

    /// True when so much has been decoded that the cache should start anew.
    pub fn is_full(&self) -> bool {
        self.ops > MAX_OPS
    }

    /// Drops the blocks of a frame. The caller starts new epochs.
    pub fn drop_frame(&mut self, pfn: Pfn) {
        for index in self.by_frame.remove(&pfn.0).unwrap_or_default() {
            let Some(block) = self.blocks.get_mut(index as usize) else { continue };
            // A block in two frames may be dropped already, and its place taken by another.
            let here = block.key.pa >> guest_mem::PAGE_SHIFT == pfn.0 || block.second == Some(pfn);
            if !here || block.ops.is_empty() {
                continue;
            }
            self.ops -= block.ops.len();
            block.ops = Box::default();
            block.links = Box::default();
            if self.by_key.get(&block.key) == Some(&index) {
                self.by_key.remove(&block.key);
            }
            self.free.push(index);
        }
    }

    /// Resolves a link of a block.
    pub fn set_link(&mut self, block: u32, slot: usize, to: u32, epoch: u64) {
        // Only a target in the same frame is dropped together with the block that links to it.
        let target_in_page = self.block(to).is_some_and(|target| target.second.is_none());
        if let Some(block) = self.blocks.get_mut(block as usize)
            && let Some(link) = block.links.get_mut(slot)
        {
            let same_page = (link.target ^ block.page) >> guest_mem::PAGE_SHIFT == 0;
            let local = target_in_page && block.second.is_none() && same_page;
            link.block = to;
            link.epoch = if local { ALWAYS } else { epoch };
        }
    }

    #[inline(always)]
    fn slot(va: u64) -> usize {
        ((va >> 1) ^ (va >> 12)) as usize & (JUMPS - 1)
    }

    /// The block for an indirect target (with the mode in its unused bits), if it was seen under this epoch.
    #[inline(always)]
    pub fn jump(&self, va: u64, epoch: u64) -> Option<u32> {
        let jump = &self.jumps[Self::slot(va)];
        (jump.va == va && jump.epoch == epoch).then_some(jump.block)
    }

    pub fn set_jump(&mut self, va: u64, epoch: u64, block: u32) {
        self.jumps[Self::slot(va)] = Jump { va, epoch, block };
    }
}
