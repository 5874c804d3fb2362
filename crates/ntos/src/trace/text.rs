//! The trace as text, one line a call, in strace's manner.

use super::CallRecord;

/// `  0.004112 [8.12 app.exe] NtClose(Handle=0x2c) = STATUS_SUCCESS (0x00000000)`; outputs follow an arrow.
pub(super) fn line(call: &CallRecord<'_>) -> String {
    let join = |pairs: &[(&'static str, String)]| {
        pairs.iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(", ")
    };
    let seconds = call.pending.started / 10_000_000;
    let micros = call.pending.started / 10 % 1_000_000;
    let process = &call.thread.process;
    let mut line = format!(
        "{seconds:>3}.{micros:06} [{}.{} {}] {}({})",
        process.pid,
        call.thread.tid,
        process.image_name(),
        call.service,
        join(&call.pending.inputs)
    );
    match call.result {
        Some(status) if status.name().is_some() => {
            line.push_str(&format!(" = {status} ({:#010X})", status.0));
        }
        Some(status) => line.push_str(&format!(" = {:#010X}", status.0)),
        None => line.push_str(" = ?"),
    }
    if !call.outputs.is_empty() {
        line.push_str(&format!(" → {}", join(call.outputs)));
    }
    line.push('\n');
    line
}
