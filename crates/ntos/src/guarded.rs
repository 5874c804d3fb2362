//! [`Guarded`]: object state that is open only under the executive lock.
//!
//! Every caller already holds the executive lock, so a `Guarded` is never contended; finding it open means that code
//! re-entered itself, which is our bug, and it is reported at once instead of deadlocking. See
//! `docs/decisions/0002-object-state.md`.

use parking_lot::{Mutex, MutexGuard};

/// State of an object, opened for the length of one synchronous stretch.
pub struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    /// Wraps the initial state.
    pub const fn new(value: T) -> Self {
        Guarded(Mutex::new(value))
    }

    /// Opens the state.
    ///
    /// # Panics
    /// When it is open already: a re-entrance bug of the executive, caught at the machine's edge.
    #[track_caller]
    pub fn open(&self) -> MutexGuard<'_, T> {
        match self.0.try_lock() {
            Some(guard) => guard,
            None => reentered(),
        }
    }
}

#[cold]
#[track_caller]
#[expect(clippy::panic, reason = "a broken invariant of the executive itself")]
fn reentered() -> ! {
    panic!("executive state re-entered at {}", std::panic::Location::caller())
}

impl<T: Default> Default for Guarded<T> {
    fn default() -> Self {
        Guarded::new(T::default())
    }
}
