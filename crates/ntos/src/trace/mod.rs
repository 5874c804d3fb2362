//! The journal of guest activity: one event per service call, written as text or as JSON Lines.
//!
//! Key types: [`Journal`], [`PendingCall`], [`Sink`], [`Filter`]. The forms are in `text` and `json`, the
//! expressions that choose calls in [`filter`]. A journal that is off costs one branch per call.

pub mod filter;
mod groups;
mod json;
mod text;

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

/// A call as the forms show it.
struct CallRecord<'a> {
    thread: &'a Thread,
    service: &'a str,
    pending: &'a PendingCall,
    outputs: &'a [(&'static str, String)],
    result: Option<NtStatus>,
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
        self.record(&CallRecord { thread, service: def.name, pending, outputs, result });
    }

    /// Writes a call of a service that the guest's DLL has and nten does not.
    pub fn missing(&mut self, thread: &Thread, service: &str, started: u64, result: NtStatus) {
        if self.shows(service) {
            let pending = PendingCall { started, inputs: Vec::new() };
            let result = Some(result);
            self.record(&CallRecord { thread, service, pending: &pending, outputs: &[], result });
        }
    }

    fn record(&mut self, call: &CallRecord<'_>) {
        let Some(sink) = &mut self.sink else { return };
        if let (Some(filter), Some(status)) = (&sink.filter, call.result)
            && !filter.shows_status(status)
        {
            return;
        }
        let line = match sink.format {
            Format::Text => text::line(call),
            Format::JsonLines => json::line(call),
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

/// What a trace calls an object: its path, or type and serial number.
pub fn object_text(k: &Kernel, object: &AnyRef) -> String {
    if let Some(text) = crate::io::describe_object(object) {
        return text;
    }
    if let Some(text) = crate::cm::describe_object(k, object) {
        return text;
    }
    let name = crate::ob::namespace::full_name(k, object);
    if name.is_empty() {
        format!("{}#{}", object.object_type().name, object.header().id)
    } else {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestMachine;
    use abi::status_table::*;
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a sink gets for one call of `NtCreateEvent`.
    fn trace(format: Format, filter: &[&str], result: Option<NtStatus>) -> String {
        let machine = TestMachine::new();
        let filter: Vec<String> = filter.iter().map(|text| (*text).to_owned()).collect();
        let buffer = Buffer::default();
        let out = Box::new(buffer.clone());
        let mut journal = Journal::default();
        journal.start(Sink { out, format, filter: Some(filter::parse(&filter).unwrap()) });
        let def = crate::svc::table::all().find(|def| def.name == "NtCreateEvent").unwrap();
        if journal.shows(def.name) {
            let started = 12_345_678;
            let pending = PendingCall { started, inputs: vec![("InitialState", "TRUE".into())] };
            let outputs = [("EventHandle", "0x4<Event#9>".to_owned())];
            let outputs = if result == Some(STATUS_SUCCESS) { &outputs[..] } else { &[] };
            journal.call(&machine.thread, def, &pending, outputs, result);
        }
        String::from_utf8(buffer.0.lock().clone()).unwrap()
    }

    #[test]
    fn text_shows_inputs_result_and_outputs() {
        assert_eq!(
            trace(Format::Text, &[], Some(STATUS_SUCCESS)),
            "  1.234567 [8.12 test.exe] NtCreateEvent(InitialState=TRUE) = \
             STATUS_SUCCESS (0x00000000) → EventHandle=0x4<Event#9>\n"
        );
        assert_eq!(
            trace(Format::Text, &[], Some(NtStatus(0xE06D_7363))),
            "  1.234567 [8.12 test.exe] NtCreateEvent(InitialState=TRUE) = 0xE06D7363\n"
        );
        assert_eq!(
            trace(Format::Text, &[], None),
            "  1.234567 [8.12 test.exe] NtCreateEvent(InitialState=TRUE) = ?\n"
        );
    }

    #[test]
    fn json_lines_carry_the_same() {
        assert_eq!(
            trace(Format::JsonLines, &[], Some(STATUS_SUCCESS)),
            concat!(
                r#"{"schema":"nten.trace/1","time_100ns":12345678,"pid":8,"tid":12,"#,
                r#""image":"test.exe","service":"NtCreateEvent","#,
                r#""inputs":{"InitialState":"TRUE"},"outputs":{"EventHandle":"0x4<Event#9>"},"#,
                r#""status":"0x00000000","status_name":"STATUS_SUCCESS"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_missing_service_is_recorded_too() {
        let machine = TestMachine::new();
        let buffer = Buffer::default();
        let mut journal = Journal::default();
        let out = Box::new(buffer.clone());
        journal.start(Sink { out, format: Format::Text, filter: None });
        journal.missing(&machine.thread, "NtPoodle", 10, STATUS_NOT_IMPLEMENTED);
        assert_eq!(
            String::from_utf8(buffer.0.lock().clone()).unwrap(),
            "  0.000001 [8.12 test.exe] NtPoodle() = STATUS_NOT_IMPLEMENTED (0xC0000002)\n"
        );
    }

    #[test]
    fn filters_apply_to_names_and_results() {
        assert_eq!(trace(Format::Text, &["%file"], Some(STATUS_SUCCESS)), "");
        assert_eq!(trace(Format::Text, &["status=failed"], Some(STATUS_SUCCESS)), "");
        assert_ne!(
            trace(Format::Text, &["%sync", "status=failed"], Some(STATUS_ACCESS_DENIED)),
            ""
        );
    }
}
