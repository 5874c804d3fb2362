//! Objects: a header and a body, shared by reference, with an address in guest kernel space.
//!
//! Key types: [`Object`], [`ObRef`], [`AnyRef`], [`ObjectBody`], [`TypeInfo`]. The guest part (the `OBJECT_HEADER`
//! and the body that drivers may touch) lies in the kernel pool; its address is the object's identity.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::NtResult;
use abi::status_table::STATUS_OBJECT_TYPE_MISMATCH;
use guest_mem::Va;

use crate::Kernel;
use crate::guarded::Guarded;
use crate::ke::Dispatcher;
use crate::mm::pool::{KernelPool, PoolBlock};
use crate::ustr::UnicodeString;

use super::directory::Directory;

/// How an object type maps generic rights to specific ones (`GENERIC_MAPPING`).
pub use sd::GenericMapping as AccessMap;

/// An object type: what `\ObjectTypes` lists.
#[derive(Debug)]
pub struct TypeInfo {
    /// The type's name, `Event`.
    pub name: &'static str,
    /// Its generic mapping.
    pub access: AccessMap,
    /// Bytes of the guest-resident body.
    pub body_size: u64,
}

/// The host-side state and behaviour of an object.
pub trait ObjectBody: Any + Send + Sync {
    /// The type.
    const TYPE: &'static TypeInfo;

    /// Where the dispatcher header lies in the guest body, for types that can be waited for: 0 for most, 0x98 for the
    /// event inside a `FILE_OBJECT`. `None` refuses waits with `STATUS_OBJECT_TYPE_MISMATCH`.
    const DISPATCHER: Option<u64> = None;

    /// The name that queries show, for objects whose name is more than their place in the namespace: files, keys.
    fn query_name(_object: &ObRef<Self>, _k: &Kernel) -> Option<UnicodeString>
    where
        Self: Sized,
    {
        None
    }

    /// Called when the last handle is closed, before the name is removed.
    fn last_handle_closed(_object: &ObRef<Self>, _k: &mut Kernel)
    where
        Self: Sized,
    {
    }

    /// Called for each handle that a process closes, with the number of handles that process keeps.
    fn handle_closed(_object: &ObRef<Self>, _k: &mut Kernel)
    where
        Self: Sized,
    {
    }
}

/// The part every object has.
pub struct ObjectHeader {
    /// A serial number, unique in the machine; traces use it.
    pub id: u64,
    /// The guest header and body.
    pub block: PoolBlock,
    /// Name and place in the namespace.
    pub name: Guarded<ObjectName>,
    /// Security descriptor, if the object carries one.
    pub security: Guarded<Option<Arc<sd::SecurityDescriptor>>>,
    handles: AtomicU32,
    permanent: AtomicBool,
    /// The object was just made: its maker's handle gets what it asks for.
    new: AtomicBool,
}

/// An object's name and the directory it stands in.
#[derive(Default)]
pub struct ObjectName {
    /// The last component; empty for an unnamed object.
    pub name: UnicodeString,
    /// The directory, while the object is in one.
    pub directory: Option<std::sync::Weak<Object<Directory>>>,
}

/// Bytes of the guest `OBJECT_HEADER` in front of each body.
pub const OBJECT_HEADER_SIZE: u64 = 0x30;

impl ObjectHeader {
    /// The guest address of the body: the object's identity.
    pub fn address(&self) -> Va {
        Va(self.block.va().0 + OBJECT_HEADER_SIZE)
    }

    /// The dispatcher header at the start of the body, for types that can be waited for.
    pub fn dispatcher(&self) -> Dispatcher {
        Dispatcher::at(self.block.pa_at(OBJECT_HEADER_SIZE))
    }

    /// Handles open to the object, in all processes.
    pub fn handle_count(&self) -> u32 {
        self.handles.load(Ordering::Relaxed)
    }

    /// True if the name stays when the last handle is closed.
    pub fn is_permanent(&self) -> bool {
        self.permanent.load(Ordering::Relaxed)
    }

    /// Makes the name stay or go with the last handle.
    pub fn set_permanent(&self, permanent: bool) {
        self.permanent.store(permanent, Ordering::Relaxed);
    }

    /// Gives a new object its descriptor; the next handle, its maker's, is not checked against it.
    pub fn secure_new(&self, descriptor: Arc<sd::SecurityDescriptor>) {
        *self.security.open() = Some(descriptor);
        self.new.store(true, Ordering::Relaxed);
    }

    /// True for the first handle after [`ObjectHeader::secure_new`].
    pub(super) fn take_new(&self) -> bool {
        self.new.swap(false, Ordering::Relaxed)
    }

    pub(super) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the handles that remain.
    pub(super) fn remove_handle(&self) -> u32 {
        self.handles.fetch_sub(1, Ordering::Relaxed).wrapping_sub(1)
    }
}

/// An object: header and body.
pub struct Object<T: ObjectBody> {
    /// The common part.
    pub header: ObjectHeader,
    /// The type's own part.
    pub body: T,
}

impl<T: ObjectBody> std::ops::Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

/// A counted reference to an object of known type.
pub type ObRef<T> = Arc<Object<T>>;

/// A counted reference to an object of any type.
pub type AnyRef = Arc<dyn AnyObject>;

/// The type-erased view of an [`Object`].
pub trait AnyObject: Any + Send + Sync {
    /// The common part.
    fn header(&self) -> &ObjectHeader;
    /// The type.
    fn object_type(&self) -> &'static TypeInfo;
    /// What a wait for the object waits for, if its type can be waited for.
    fn wait_object(&self) -> Option<Dispatcher>;
    /// For downcasts.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    /// [`ObjectBody::query_name`].
    fn query_name(self: Arc<Self>, k: &Kernel) -> Option<UnicodeString>;
    /// [`ObjectBody::last_handle_closed`].
    fn last_handle_closed(self: Arc<Self>, k: &mut Kernel);
    /// [`ObjectBody::handle_closed`].
    fn handle_closed(self: Arc<Self>, k: &mut Kernel);
}

impl<T: ObjectBody> AnyObject for Object<T> {
    fn header(&self) -> &ObjectHeader {
        &self.header
    }

    fn object_type(&self) -> &'static TypeInfo {
        T::TYPE
    }

    fn wait_object(&self) -> Option<Dispatcher> {
        let offset = T::DISPATCHER?;
        Some(Dispatcher::at(self.header.block.pa_at(OBJECT_HEADER_SIZE + offset)))
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn query_name(self: Arc<Self>, k: &Kernel) -> Option<UnicodeString> {
        T::query_name(&self, k)
    }

    fn last_handle_closed(self: Arc<Self>, k: &mut Kernel) {
        T::last_handle_closed(&self, k);
    }

    fn handle_closed(self: Arc<Self>, k: &mut Kernel) {
        T::handle_closed(&self, k);
    }
}

/// Downcasts a reference; the status is what NT gives for a handle of another type.
pub fn downcast<T: ObjectBody>(object: AnyRef) -> NtResult<ObRef<T>> {
    object.into_any().downcast::<Object<T>>().map_err(|_| STATUS_OBJECT_TYPE_MISMATCH)
}

/// Makes an unnamed object: takes pool for the guest part and wraps the body.
pub fn create<T: ObjectBody>(k: &mut Kernel, body: T) -> NtResult<ObRef<T>> {
    let pool = k.mm.pool.clone();
    create_in(&pool, body)
}

/// [`create`] before there is a kernel: the root directory.
pub(super) fn create_in<T: ObjectBody>(pool: &Arc<KernelPool>, body: T) -> NtResult<ObRef<T>> {
    let block = pool.alloc(OBJECT_HEADER_SIZE + T::TYPE.body_size.max(0x10))?;
    Ok(Arc::new(Object {
        header: ObjectHeader {
            id: pool.next_serial(),
            block,
            name: Guarded::default(),
            security: Guarded::default(),
            handles: AtomicU32::new(0),
            permanent: AtomicBool::new(false),
            new: AtomicBool::new(false),
        },
        body,
    }))
}
