//! The security reference monitor: tokens and access checks.

use abi::NtResult;

use crate::Kernel;
use crate::ob::{AccessMap, ObjectBody, TypeInfo};
use crate::ps::Process;

/// State of the reference monitor.
#[derive(Default)]
pub struct SeState {}

/// An access token.
#[derive(Default)]
pub struct Token {}

impl ObjectBody for Token {
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Token",
        access: AccessMap { read: 0x2_0008, write: 0x2_00E0, execute: 0x2_0004, all: 0xF_01FF },
        body_size: 0x100,
    };
}

/// Checks a request against a security descriptor with the caller's token; returns the granted rights.
pub fn access_check(
    _k: &Kernel,
    _process: &Process,
    _descriptor: &sd::SecurityDescriptor,
    desired: u32,
    _map: &AccessMap,
) -> NtResult<u32> {
    Ok(desired)
}
