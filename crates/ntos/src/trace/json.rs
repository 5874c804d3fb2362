//! The trace as JSON Lines, schema `nten.trace/1`: one object a call.
//!
//! Values of arguments are strings, as in the text form, so that 64-bit numbers survive readers that know doubles only.
//! `status` is null for a call that never returned.

use abi::NtStatus;
use serde_json::Value;

use super::CallRecord;

/// The object of a call, with its line end.
pub(super) fn line(call: &CallRecord<'_>) -> String {
    let object = |pairs: &[(&'static str, String)]| {
        let map = pairs.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into()));
        Value::Object(map.collect())
    };
    let line = serde_json::json!({
        "schema": "nten.trace/1",
        "time_100ns": call.pending.started,
        "pid": call.thread.process.pid,
        "tid": call.thread.tid,
        "image": call.thread.process.image_name(),
        "service": call.service,
        "inputs": object(&call.pending.inputs),
        "outputs": object(call.outputs),
        "status": call.result.map(|status| format!("{:#010X}", status.0)),
        "status_name": call.result.and_then(NtStatus::name),
    });
    format!("{line}\n")
}
