//! Change notification: who is told when a key changes.
//!
//! Key types: [`NotifyState`], `Block` (one per key object that asked), [`Post`] (one request). The first request
//! through a key object fixes what it watches; a change that comes while no request is outstanding is remembered and
//! completes the next one at once.

use std::sync::Arc;

use abi::NtStatus;
use abi::ob::IO_STATUS_BLOCK;
use abi::status_table::*;
use guest_mem::Va;
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::ex::event::Event;
use crate::guarded::Guarded;
use crate::ke::apc::{UserApc, queue_user_apc};
use crate::ke::event::{EVENT_INCREMENT, ke_set_event};
use crate::ob::ObRef;
use crate::ps::Thread;

use super::key::Key;
use super::registry::KeyId;

/// Who waits for changes.
#[derive(Default)]
pub struct NotifyState {
    blocks: Vec<Block>,
}

/// What one key object watches.
struct Block {
    /// The address of the key object: its identity.
    object: Va,
    key: KeyId,
    filter: u32,
    watch_tree: bool,
    /// Something changed and nobody was told.
    pending: bool,
    posts: Vec<Arc<Post>>,
}

/// A request to be told once.
pub struct Post {
    /// Set when the request is complete.
    pub event: Option<ObRef<Event>>,
    /// Called in the requesting thread.
    pub apc: Option<UserApc>,
    /// The requesting thread.
    pub thread: ObRef<Thread>,
    /// The request ends with the thread.
    pub ends_with_thread: bool,
    /// Where the result goes, or 0.
    pub status_block: Va,
    /// Keys watched besides the one whose handle was given.
    pub others: Vec<ObRef<Key>>,
    /// The result, once there is one.
    pub outcome: Guarded<Option<NtStatus>>,
}

impl Post {
    /// The first completion counts.
    fn complete(&self, k: &mut Kernel, status: NtStatus) {
        if self.outcome.open().replace(status).is_some() {
            return;
        }
        if self.status_block.0 != 0 {
            let block = IO_STATUS_BLOCK { Status: status.0, ..IO_STATUS_BLOCK::default() };
            // The requester may have unmapped its block; the completion goes on.
            let process = self.thread.process.clone();
            let _ = crate::mm::copy_to(k, &process, self.status_block, block.as_bytes());
        }
        if let Some(event) = &self.event {
            ke_set_event(k, event.header.dispatcher(), EVENT_INCREMENT);
        }
        if let Some(apc) = self.apc {
            queue_user_apc(k, &self.thread, apc);
        }
    }

    fn is_done(&self) -> bool {
        self.outcome.open().is_some()
    }
}

/// Enters a request for a key object. True if a remembered change completed it at once.
pub fn request(
    k: &mut Kernel,
    key: &ObRef<Key>,
    filter: u32,
    watch_tree: bool,
    post: &Arc<Post>,
) -> bool {
    let object = key.header.address();
    let blocks = &mut k.cm.notify.blocks;
    let at = blocks.iter().position(|block| block.object == object);
    let block = match at.and_then(|at| blocks.get_mut(at)) {
        Some(block) => {
            if std::mem::take(&mut block.pending) {
                finish(k, vec![post.clone()], STATUS_NOTIFY_ENUM_DIR);
                return true;
            }
            block
        }
        None => {
            let posts = Vec::new();
            let id = key.id;
            blocks.push(Block { object, key: id, filter, watch_tree, pending: false, posts });
            let Some(block) = blocks.last_mut() else { return false };
            block
        }
    };
    block.posts.push(post.clone());
    false
}

/// Takes a request back.
pub fn withdraw(k: &mut Kernel, post: &Arc<Post>) {
    for block in &mut k.cm.notify.blocks {
        block.posts.retain(|other| !Arc::ptr_eq(other, post));
    }
    finish(k, vec![post.clone()], STATUS_NOTIFY_CLEANUP);
}

/// A key changed in one of the ways of `REG_NOTIFY_CHANGE_…`.
pub fn changed(k: &mut Kernel, key: KeyId, change: u32) {
    if k.cm.notify.blocks.is_empty() {
        return;
    }
    let mut posts = Vec::new();
    let registry = &k.cm.registry;
    for block in &mut k.cm.notify.blocks {
        let concerns = block.key == key || (block.watch_tree && registry.is_within(key, block.key));
        if block.filter & change == 0 || !concerns {
            continue;
        }
        block.posts.retain(|post| !post.is_done());
        block.pending = block.posts.is_empty();
        posts.append(&mut block.posts);
    }
    finish(k, posts, STATUS_NOTIFY_ENUM_DIR);
}

/// A key was deleted: requests for it end.
pub fn deleted(k: &mut Kernel, key: KeyId) {
    end_blocks(k, |block| block.key == key, STATUS_KEY_DELETED);
}

/// The last handle of a key object was closed: its requests end.
pub fn closed(k: &mut Kernel, object: Va) {
    end_blocks(k, |block| block.object == object, STATUS_NOTIFY_CLEANUP);
}

/// A thread ends: requests that are bound to it end.
pub fn thread_exits(k: &mut Kernel, thread: &ObRef<Thread>) {
    let mut posts = Vec::new();
    for block in &mut k.cm.notify.blocks {
        let ends =
            |post: &mut Arc<Post>| post.ends_with_thread && Arc::ptr_eq(&post.thread, thread);
        posts.extend(block.posts.extract_if(.., ends));
    }
    finish(k, posts, STATUS_NOTIFY_CLEANUP);
}

fn end_blocks(k: &mut Kernel, ends: impl Fn(&Block) -> bool, status: NtStatus) {
    if k.cm.notify.blocks.is_empty() {
        return;
    }
    let ended: Vec<Block> = k.cm.notify.blocks.extract_if(.., |block| ends(block)).collect();
    let posts = ended.into_iter().flat_map(|block| block.posts).collect();
    finish(k, posts, status);
}

/// Completes requests and forgets the second keys that they watched.
fn finish(k: &mut Kernel, posts: Vec<Arc<Post>>, status: NtStatus) {
    for post in posts {
        post.complete(k, status);
        for other in &post.others {
            let object = other.header.address();
            k.cm.notify.blocks.retain(|block| block.object != object);
            if let Ok(cell) = k.cm.registry.get_mut(other.id) {
                cell.opens = cell.opens.saturating_sub(1);
            }
        }
    }
}
