//! The journal of guest activity: one event per service call, written as text or as JSON Lines.
//!
//! Key types: [`Journal`], [`PendingCall`], [`Sink`]. A journal that is off costs one branch per call.

use std::io::Write;

use abi::NtStatus;

use crate::Kernel;
use crate::ob::AnyRef;
use crate::ps::Thread;
use crate::svc::ServiceDef;

/// How calls are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One line a call.
    Text,
    /// One JSON object a call, `"schema": "nten.trace/1"`.
    JsonLines,
}

/// Which calls are written.
pub trait Filter: Send {
    /// True for a service whose calls are shown.
    fn shows(&self, name: &str) -> bool;
    /// True for a result that is shown.
    fn shows_status(&self, status: NtStatus) -> bool;
}

/// Where a trace goes.
pub struct Sink {
    /// The bytes' way out.
    pub out: Box<dyn Write + Send>,
    /// Their form.
    pub format: Format,
    /// What is left out.
    pub filter: Option<Box<dyn Filter>>,
}

/// The journal of one machine.
#[derive(Default)]
pub struct Journal {
    sink: Option<Sink>,
}

/// The inputs of a call that has not returned.
pub struct PendingCall {
    /// 100 ns since boot.
    pub started: u64,
    /// Name and text.
    pub inputs: Vec<(&'static str, String)>,
}

impl Journal {
    /// Starts writing.
    pub fn start(&mut self, sink: Sink) {
        self.sink = Some(sink);
    }

    /// True if calls are recorded.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.sink.is_some()
    }

    /// True if a service's calls are recorded.
    pub fn shows(&self, name: &str) -> bool {
        self.sink
            .as_ref()
            .is_some_and(|sink| sink.filter.as_ref().is_none_or(|filter| filter.shows(name)))
    }

    /// Writes a call that returned, or that never will (`result` is `None`).
    pub fn call(
        &mut self,
        thread: &Thread,
        def: &ServiceDef,
        pending: &PendingCall,
        outputs: &[(&'static str, String)],
        result: Option<NtStatus>,
    ) {
        let Some(sink) = &mut self.sink else { return };
        if let (Some(filter), Some(status)) = (&sink.filter, result)
            && !filter.shows_status(status)
        {
            return;
        }
        let line = match sink.format {
            Format::Text => text_line(thread, def, pending, outputs, result),
            Format::JsonLines => json_line(thread, def, pending, outputs, result),
        };
        if sink.out.write_all(line.as_bytes()).is_err() {
            self.sink = None;
        }
    }

    /// Writes what is buffered.
    pub fn flush(&mut self) {
        if let Some(sink) = &mut self.sink {
            let _ = sink.out.flush();
        }
    }
}

fn text_line(
    thread: &Thread,
    def: &ServiceDef,
    pending: &PendingCall,
    outputs: &[(&'static str, String)],
    result: Option<NtStatus>,
) -> String {
    let join = |pairs: &[(&'static str, String)]| {
        pairs.iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(", ")
    };
    let seconds = pending.started / 10_000_000;
    let micros = pending.started / 10 % 1_000_000;
    let pid = thread.process.pid;
    let mut line = format!(
        "{seconds:>3}.{micros:06} [{pid}.{} {}] {}({})",
        thread.tid,
        thread.process.image_name(),
        def.name,
        join(&pending.inputs)
    );
    match result {
        Some(status) if status.name().is_some() => {
            line.push_str(&format!(" = {status} ({:#010X})", status.0));
        }
        Some(status) => line.push_str(&format!(" = {:#010X}", status.0)),
        None => line.push_str(" = ?"),
    }
    if !outputs.is_empty() {
        line.push_str(&format!(" → {}", join(outputs)));
    }
    line.push('\n');
    line
}

fn json_line(
    thread: &Thread,
    def: &ServiceDef,
    pending: &PendingCall,
    outputs: &[(&'static str, String)],
    result: Option<NtStatus>,
) -> String {
    let object = |pairs: &[(&'static str, String)]| {
        let map = pairs.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into()));
        serde_json::Value::Object(map.collect())
    };
    let line = serde_json::json!({
        "schema": "nten.trace/1",
        "time_100ns": pending.started,
        "pid": thread.process.pid,
        "tid": thread.tid,
        "image": thread.process.image_name(),
        "service": def.name,
        "inputs": object(&pending.inputs),
        "outputs": object(outputs),
        "status": result.map(|status| format!("{:#010X}", status.0)),
        "status_name": result.and_then(NtStatus::name),
    });
    format!("{line}\n")
}

/// What a trace calls an object: its path, or type and serial number.
pub fn object_text(k: &Kernel, object: &AnyRef) -> String {
    if let Some(text) = crate::io::describe_object(object) {
        return text;
    }
    if let Some(text) = crate::cm::describe_object(object) {
        return text;
    }
    let name = crate::ob::namespace::full_name(k, object);
    if name.is_empty() {
        format!("{}#{}", object.object_type().name, object.header().id)
    } else {
        name.to_string()
    }
}
