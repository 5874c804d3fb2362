//! Arguments of services: decoding from registers and stack, typed guest pointers, and how each is shown in a trace.
//!
//! Key types: [`Arg`], [`In`], [`Out`], [`InOut`], [`Handle`], [`GuestValue`]. A pointer type states its direction;
//! `Option` of it accepts null.

use std::fmt::Write as _;
use std::marker::PhantomData;

use abi::ob::{IO_STATUS_BLOCK, OBJECT_ATTRIBUTES, UNICODE_STRING};
use abi::ps::CLIENT_ID;
use abi::{NtResult, NtStatus};
use guest_mem::{Scalar, Va};
use smallvec::SmallVec;

use crate::ustr::UnicodeString;

use super::ServiceCx;

/// The raw argument values of one call, 64 bits each.
#[derive(Clone, Default, Debug)]
pub struct RawArgs(pub SmallVec<[u64; 12]>);

/// Hands out raw values in order.
pub struct ArgCursor<'a> {
    raw: &'a RawArgs,
    next: usize,
}

impl<'a> ArgCursor<'a> {
    /// Starts at the first argument.
    pub fn new(raw: &'a RawArgs) -> Self {
        ArgCursor { raw, next: 0 }
    }

    /// The next raw value.
    pub fn next_raw(&mut self) -> u64 {
        let value = self.raw.0.get(self.next).copied().unwrap_or_default();
        self.next += 1;
        value
    }
}

/// Collects the trace text of a call's arguments.
pub struct ArgTrace<'a, 'k> {
    /// For reading guest memory and naming handles.
    pub cx: &'a mut ServiceCx<'k>,
    /// Name and text, in order.
    pub out: Vec<(&'static str, String)>,
    /// The result, when called after the service; inputs are shown before, outputs after.
    pub result: Option<NtStatus>,
}

impl ArgTrace<'_, '_> {
    /// Shows an input.
    pub fn input(&mut self, name: &'static str, text: impl FnOnce(&mut ServiceCx<'_>) -> String) {
        if self.result.is_none() {
            let text = text(self.cx);
            self.out.push((name, text));
        }
    }

    /// Shows an output, if the call succeeded.
    pub fn output(&mut self, name: &'static str, text: impl FnOnce(&mut ServiceCx<'_>) -> String) {
        if self.result.is_some_and(|status| !status.is_error()) {
            let text = text(self.cx);
            self.out.push((name, text));
        }
    }
}

/// An argument type of services.
pub trait Arg: Sized {
    /// Raw values it takes.
    const SLOTS: usize = 1;
    /// Takes its raw values.
    fn decode(cursor: &mut ArgCursor<'_>) -> Self;
    /// Adds its text to the trace, before the call and, for outputs, after it.
    fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>);
}

macro_rules! integer_arg {
    ($($int:ty),*) => {$(
        impl Arg for $int {
            fn decode(cursor: &mut ArgCursor<'_>) -> Self {
                cursor.next_raw() as $int
            }

            fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>) {
                trace.input(name, |_| number(*self as i128));
            }
        }

        impl GuestValue for $int {
            fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
                number(*self as i128)
            }
        }
    )*};
}
integer_arg!(u8, u16, u32, u64, i32, i64);

fn number(value: i128) -> String {
    match value {
        -9..=9 => value.to_string(),
        // All ones is -1 in 64 bits, whatever the type says.
        _ if value == i128::from(u64::MAX) => "-1".to_owned(),
        ..=-10 => format!("-{:#x}", value.unsigned_abs()),
        _ => format!("{value:#x}"),
    }
}

impl Arg for bool {
    fn decode(cursor: &mut ArgCursor<'_>) -> Self {
        cursor.next_raw() as u8 != 0
    }

    fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>) {
        trace.input(name, |_| if *self { "TRUE" } else { "FALSE" }.to_owned());
    }
}

impl Arg for Va {
    fn decode(cursor: &mut ArgCursor<'_>) -> Self {
        Va(cursor.next_raw())
    }

    fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>) {
        trace.input(name, |_| format!("{self:#x}"));
    }
}

/// A handle value as the guest gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Handle(pub u64);

impl Handle {
    /// `NtCurrentProcess()`.
    pub const CURRENT_PROCESS: Handle = Handle(u64::MAX);
    /// `NtCurrentThread()`.
    pub const CURRENT_THREAD: Handle = Handle(u64::MAX - 1);

    /// The handle, or `None` for null.
    pub fn non_null(self) -> Option<Handle> {
        (self.0 != 0).then_some(self)
    }
}

impl Arg for Handle {
    fn decode(cursor: &mut ArgCursor<'_>) -> Self {
        Handle(cursor.next_raw())
    }

    fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>) {
        trace.input(name, |cx| cx.show_handle(*self));
    }
}

/// A plain value in guest memory that traces can show.
pub trait GuestValue: Scalar {
    /// Its trace text.
    fn show(&self, cx: &mut ServiceCx<'_>) -> String;
}

impl GuestValue for UNICODE_STRING {
    fn show(&self, cx: &mut ServiceCx<'_>) -> String {
        match cx.capture_string(self) {
            Ok(text) => format!("{text:?}"),
            Err(status) => format!("<{status}>"),
        }
    }
}

impl GuestValue for OBJECT_ATTRIBUTES {
    fn show(&self, cx: &mut ServiceCx<'_>) -> String {
        let mut text = String::new();
        if self.RootDirectory != 0 {
            let _ = write!(text, "[{}]", cx.show_handle(Handle(self.RootDirectory)));
        }
        if self.ObjectName == 0 {
            text.push_str("NULL");
        } else {
            match cx.read::<UNICODE_STRING>(Va(self.ObjectName)) {
                Ok(name) => text.push_str(&name.show(cx)),
                Err(status) => {
                    let _ = write!(text, "<{status}>");
                }
            }
        }
        text
    }
}

impl GuestValue for IO_STATUS_BLOCK {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        format!("{{{}, {}}}", NtStatus(self.Status), number(i128::from(self.Information)))
    }
}

impl GuestValue for CLIENT_ID {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        format!("{}.{}", self.UniqueProcess, self.UniqueThread)
    }
}

impl GuestValue for NtStatus {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        self.to_string()
    }
}

macro_rules! pointer {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name<T> {
            /// The address.
            pub at: Va,
            target: PhantomData<fn() -> T>,
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<T> {}

        impl<T> $name<T> {
            /// A pointer to an address that is probed when it is used.
            pub const fn new(at: Va) -> Self {
                $name { at, target: PhantomData }
            }
        }
    };
}

pointer! {
    /// A pointer that a service reads.
    In
}
pointer! {
    /// A pointer that a service writes.
    Out
}
pointer! {
    /// A pointer that a service reads and writes.
    InOut
}

impl<T: Scalar> In<T> {
    /// Reads the value, once.
    pub fn read(&self, cx: &mut ServiceCx<'_>) -> NtResult<T> {
        cx.read(self.at)
    }
}

impl<T: Scalar> Out<T> {
    /// Writes the value.
    pub fn write(&self, cx: &mut ServiceCx<'_>, value: &T) -> NtResult<()> {
        cx.write(self.at, value)
    }

    /// Fails now if the value could not be written later.
    pub fn probe(&self, cx: &mut ServiceCx<'_>) -> NtResult<()> {
        cx.probe_write(self.at, size_of::<T>())
    }
}

impl<T: Scalar> InOut<T> {
    /// Reads the value, once.
    pub fn read(&self, cx: &mut ServiceCx<'_>) -> NtResult<T> {
        cx.read(self.at)
    }

    /// Writes the value.
    pub fn write(&self, cx: &mut ServiceCx<'_>, value: &T) -> NtResult<()> {
        cx.write(self.at, value)
    }
}

fn show_at<T: GuestValue>(cx: &mut ServiceCx<'_>, at: Va) -> String {
    match cx.read::<T>(at) {
        Ok(value) => value.show(cx),
        Err(status) => format!("{at:#x}<{status}>"),
    }
}

impl<T: GuestValue> Arg for In<T> {
    fn decode(cursor: &mut ArgCursor<'_>) -> Self {
        In::new(Va(cursor.next_raw()))
    }

    fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>) {
        trace.input(name, |cx| show_at::<T>(cx, self.at));
    }
}

impl<T: GuestValue> Arg for Out<T> {
    fn decode(cursor: &mut ArgCursor<'_>) -> Self {
        Out::new(Va(cursor.next_raw()))
    }

    fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>) {
        trace.output(name, |cx| show_at::<T>(cx, self.at));
    }
}

impl<T: GuestValue> Arg for InOut<T> {
    fn decode(cursor: &mut ArgCursor<'_>) -> Self {
        InOut::new(Va(cursor.next_raw()))
    }

    fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>) {
        trace.input(name, |cx| show_at::<T>(cx, self.at));
        trace.output(name, |cx| show_at::<T>(cx, self.at));
    }
}

/// A pointer type that null turns into `None`.
pub trait PointerArg: Arg {
    /// Makes the pointer from a nonzero address.
    fn from_address(at: Va) -> Self;
}

impl<T: GuestValue> PointerArg for In<T> {
    fn from_address(at: Va) -> Self {
        In::new(at)
    }
}

impl<T: GuestValue> PointerArg for Out<T> {
    fn from_address(at: Va) -> Self {
        Out::new(at)
    }
}

impl<T: GuestValue> PointerArg for InOut<T> {
    fn from_address(at: Va) -> Self {
        InOut::new(at)
    }
}

impl<P: PointerArg> Arg for Option<P> {
    fn decode(cursor: &mut ArgCursor<'_>) -> Self {
        let at = cursor.next_raw();
        (at != 0).then(|| P::from_address(Va(at)))
    }

    fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>) {
        match self {
            Some(pointer) => pointer.describe(name, trace),
            None => trace.input(name, |_| "NULL".to_owned()),
        }
    }
}

/// A handle in guest memory, written by creating services: shown with the object's name.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Default,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(transparent)]
pub struct HandleValue(pub u64);

impl GuestValue for HandleValue {
    fn show(&self, cx: &mut ServiceCx<'_>) -> String {
        cx.show_handle(Handle(self.0))
    }
}

/// Declares a 32-bit argument whose bits or values have names: shown as `A|B|0x40`.
#[macro_export]
macro_rules! flags_arg {
    ($(#[$doc:meta])* $name:ident { $($flag:ident = $value:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name(pub u32);

        impl $crate::svc::Arg for $name {
            fn decode(cursor: &mut $crate::svc::ArgCursor<'_>) -> Self {
                $name(cursor.next_raw() as u32)
            }

            fn describe(&self, name: &'static str, trace: &mut $crate::svc::ArgTrace<'_, '_>) {
                trace.input(name, |_| {
                    $crate::svc::args::show_flags(self.0, &[$((stringify!($flag), $value)),*])
                });
            }
        }
    };
}

/// Declares a 32-bit argument that is one of several named values.
#[macro_export]
macro_rules! enum_arg {
    ($(#[$doc:meta])* $name:ident { $($value_name:ident = $value:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name(pub u32);

        #[allow(non_upper_case_globals, missing_docs, dead_code)]
        impl $name {
            $(pub const $value_name: u32 = $value;)*
        }

        impl $crate::svc::Arg for $name {
            fn decode(cursor: &mut $crate::svc::ArgCursor<'_>) -> Self {
                $name(cursor.next_raw() as u32)
            }

            fn describe(&self, name: &'static str, trace: &mut $crate::svc::ArgTrace<'_, '_>) {
                trace.input(name, |_| match self.0 {
                    $($value => stringify!($value_name).to_owned(),)*
                    other => other.to_string(),
                });
            }
        }
    };
}

/// Text of a flag word: the names of known bits, the rest in hexadecimal.
pub fn show_flags(value: u32, names: &[(&str, u32)]) -> String {
    let mut rest = value;
    let mut text = String::new();
    for (name, bits) in names {
        if *bits != 0 && rest & bits == *bits {
            rest &= !bits;
            if !text.is_empty() {
                text.push('|');
            }
            text.push_str(name);
        }
    }
    if rest != 0 || text.is_empty() {
        if !text.is_empty() {
            text.push('|');
        }
        let _ = if rest == 0 { write!(text, "0") } else { write!(text, "{rest:#x}") };
    }
    text
}

flags_arg! {
    /// `ACCESS_MASK`.
    AccessMask {
        GENERIC_READ = abi::ob::GENERIC_READ, GENERIC_WRITE = abi::ob::GENERIC_WRITE,
        GENERIC_EXECUTE = abi::ob::GENERIC_EXECUTE, GENERIC_ALL = abi::ob::GENERIC_ALL,
        MAXIMUM_ALLOWED = abi::ob::MAXIMUM_ALLOWED,
        ACCESS_SYSTEM_SECURITY = abi::ob::ACCESS_SYSTEM_SECURITY,
        STANDARD_RIGHTS_ALL = abi::ob::STANDARD_RIGHTS_ALL, DELETE = abi::ob::DELETE,
        READ_CONTROL = abi::ob::READ_CONTROL, WRITE_DAC = abi::ob::WRITE_DAC,
        WRITE_OWNER = abi::ob::WRITE_OWNER, SYNCHRONIZE = abi::ob::SYNCHRONIZE,
    }
}

/// A captured `UNICODE_STRING` in a pointer argument, for services that take just a name.
pub fn optional_string(
    cx: &mut ServiceCx<'_>,
    pointer: Option<In<UNICODE_STRING>>,
) -> NtResult<Option<UnicodeString>> {
    match pointer {
        Some(pointer) => {
            let string = pointer.read(cx)?;
            Ok(Some(cx.capture_string(&string)?))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_named_and_the_rest_is_shown() {
        let names = &[("RW", 3), ("R", 1), ("W", 2)];
        assert_eq!(show_flags(3, names), "RW");
        assert_eq!(show_flags(0x41, names), "R|0x40");
        assert_eq!(show_flags(0, names), "0");
    }

    #[test]
    fn small_numbers_are_decimal_and_negative_ones_have_a_sign() {
        let shown = [7, 10, -9, -0x2710, i128::from(u64::MAX)].map(number);
        assert_eq!(shown, ["7", "0xa", "-9", "-0x2710", "-1"]);
    }
}
