//! A small machine for unit tests: a kernel without a processor, a fake host, processes and threads that tests drive.
//!
//! Key types: [`TestMachine`], [`TestHost`], [`TestCall`]. Services are called as the run loop calls them: sync ones
//! with [`TestMachine::with`], `async` ones with [`TestMachine::start`], whose result is polled step by step, so that
//! a test sees exactly when a call blocks. Each process has one page of memory at [`DATA`] for arguments.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use guest_mem::{GuestRam, PAGE_SIZE, PageTables, Va};
use parking_lot::Mutex;

use crate::Kernel;
use crate::guarded::Guarded;
use crate::host::{Host, HostEvent, Stream, StreamKind, files};
use crate::ke::sched::ThreadState;
use crate::mm::{self, MmState};
use crate::ob::{self, ObRef};
use crate::ps::{Process, ProcessState, Thread};
use crate::se::Token;
use crate::svc::args::HandleValue;
use crate::svc::{AsyncCx, Executive, Handle, In, InOut, Mode, Out, ServiceCx, ServiceTable};

/// Where each test process has a page of memory.
pub const DATA: u64 = 0x1_0000;

/// Where the system time of a test machine starts: 2026-01-01 00:00 UTC.
pub const EPOCH: i64 = 134_117_856_000_000_000;

/// A host whose clock stands still until a test moves it, and which keeps what it is told.
#[derive(Default)]
pub struct TestHost {
    clock: AtomicU64,
    /// The lines given to [`Host::diagnostic`].
    pub diagnostics: Mutex<Vec<String>>,
    /// The bytes written to any stream.
    pub written: Mutex<Vec<u8>>,
    random: AtomicU64,
}

impl Host for TestHost {
    fn system_time(&self) -> i64 {
        EPOCH + self.clock.load(Ordering::Relaxed) as i64
    }

    fn interrupt_time(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn time_zone_bias(&self) -> i32 {
        -60
    }

    fn entropy(&self, into: &mut [u8]) {
        for byte in into {
            let next = self.random.load(Ordering::Relaxed).wrapping_mul(0x5851_F42D_4C95_7F2D) + 1;
            self.random.store(next, Ordering::Relaxed);
            *byte = (next >> 56) as u8;
        }
    }

    fn stream_kind(&self, _stream: Stream) -> StreamKind {
        StreamKind::Null
    }

    fn stream_read(&self, _stream: Stream, _into: &mut [u8]) -> std::io::Result<Option<usize>> {
        Ok(Some(0))
    }

    fn stream_write(&self, _stream: Stream, bytes: &[u8]) -> std::io::Result<()> {
        self.written.lock().extend_from_slice(bytes);
        Ok(())
    }

    fn wait(&self, timeout: Option<Duration>) -> Option<HostEvent> {
        let step = timeout.map_or(0, |timeout| timeout.as_nanos() as u64 / 100);
        self.clock.fetch_add(step, Ordering::Relaxed);
        None
    }

    fn poll(&self) -> Option<HostEvent> {
        None
    }

    fn tsc(&self, instructions: u64) -> u64 {
        instructions
    }

    fn diagnostic(&self, text: &str) {
        self.diagnostics.lock().push(text.to_owned());
    }

    fn volumes(&self) -> Vec<files::VolumeSpec> {
        Vec::new()
    }
}

/// A machine without a processor.
pub struct TestMachine {
    /// The kernel behind its lock.
    pub executive: Arc<Executive>,
    /// The host.
    pub host: Arc<TestHost>,
    /// A process.
    pub process: ObRef<Process>,
    /// Its first thread, running.
    pub thread: ObRef<Thread>,
}

/// A kernel with an empty namespace and no process.
pub fn kernel(host: Arc<TestHost>) -> Kernel {
    let ram = Arc::new(GuestRam::new(64 << 20).unwrap());
    let tables = Arc::new(PageTables::new(&ram).unwrap());
    tables.fill_upper_half(&ram, mm::pool::POOL_BASE, mm::pool::POOL_END).unwrap();
    let pool = mm::pool::KernelPool::new(ram.clone(), tables.clone());
    let ob = ob::initial_state(&pool).unwrap();
    let shared_data = ram.alloc_zeroed().unwrap();
    let mm = MmState::new(ram.clone(), pool, tables, shared_data, Box::new(|_| None));
    Kernel {
        ram,
        host,
        ke: Default::default(),
        ob,
        mm,
        ps: Default::default(),
        io: Default::default(),
        cm: Default::default(),
        se: Default::default(),
        ex: Default::default(),
        services: ServiceTable::new(&[]),
        trace: Default::default(),
        noticed: Default::default(),
    }
}

/// Makes a process with one page at [`DATA`].
pub fn process(k: &mut Kernel, image: &str) -> ObRef<Process> {
    let (tables, space) = mm::new_address_space(k).unwrap();
    let token = Token::administrator(k).unwrap();
    let pid = k.ps.allocate_id();
    let process = ob::create(
        k,
        Process {
            pid,
            parent_pid: 4,
            tables,
            space: Guarded::new(space),
            handles: Guarded::default(),
            token: Guarded::new(token),
            state: Guarded::new(ProcessState {
                image_path: format!("\\??\\C:\\{image}").as_str().into(),
                created: k.system_time(),
                ..ProcessState::default()
            }),
        },
    )
    .unwrap();
    let page = PAGE_SIZE;
    mm::allocate(k, &process, Some(Va(DATA)), page, true, 4, Default::default()).unwrap();
    k.ps.processes.insert(pid, process.clone());
    process
}

/// Makes a thread in state `Running`: the test is its processor.
pub fn thread(k: &mut Kernel, process: &ObRef<Process>) -> ObRef<Thread> {
    let tid = k.ps.allocate_id();
    let body = Thread::new(tid, process.clone(), Va(0), Va(0), Default::default(), 8);
    let thread = ob::create(k, body).unwrap();
    thread.sched.open().state = ThreadState::Running;
    thread.state.open().created = k.system_time();
    process.state.open().threads.push(thread.clone());
    k.ps.threads.insert(tid, thread.clone());
    thread
}

impl Default for TestMachine {
    fn default() -> Self {
        let host = Arc::new(TestHost::default());
        let mut k = kernel(host.clone());
        let process = process(&mut k, "test.exe");
        let thread = thread(&mut k, &process);
        TestMachine { executive: Executive::new(k), host, process, thread }
    }
}

impl TestMachine {
    /// A machine with one process of one thread.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another thread of the process.
    pub fn new_thread(&self) -> ObRef<Thread> {
        self.executive.with(|k| thread(k, &self.process))
    }

    /// Runs one stretch as the first thread.
    pub fn with<R>(&self, stretch: impl FnOnce(&mut ServiceCx<'_>) -> R) -> R {
        self.with_thread(&self.thread, stretch)
    }

    /// Runs one stretch as a thread.
    pub fn with_thread<R>(
        &self,
        thread: &ObRef<Thread>,
        stretch: impl FnOnce(&mut ServiceCx<'_>) -> R,
    ) -> R {
        self.cx(thread).with(stretch)
    }

    /// The context that an `async` service of the thread gets.
    pub fn cx(&self, thread: &ObRef<Thread>) -> AsyncCx {
        AsyncCx { executive: self.executive.clone(), thread: thread.clone(), mode: Mode::User }
    }

    /// Calls an `async` service as a thread and runs it until it blocks or ends.
    pub fn start<R, F: Future<Output = R> + 'static>(
        &self,
        thread: &ObRef<Thread>,
        service: impl FnOnce(AsyncCx) -> F,
    ) -> TestCall<R> {
        let future = Box::pin(service(self.cx(thread)));
        let mut call = TestCall { thread: thread.clone(), future, result: None };
        call.step();
        call
    }

    /// Calls an `async` service that is expected not to block.
    pub fn call<R, F: Future<Output = R> + 'static>(
        &self,
        service: impl FnOnce(AsyncCx) -> F,
    ) -> R {
        let thread = self.thread.clone();
        self.start(&thread, service).result.expect("the call blocks")
    }

    /// Moves the clock and lets happen what is due.
    pub fn advance(&self, units_100ns: u64) {
        self.host.clock.fetch_add(units_100ns, Ordering::Relaxed);
        self.executive.with(|k| {
            k.ke.interrupt_time = k.host.interrupt_time();
            crate::ke::timer::expire(k);
        });
    }

    /// Writes a value `offset` bytes into the process's page and returns its address.
    pub fn put<T: guest_mem::Scalar>(&self, offset: u64, value: &T) -> Va {
        let at = Va(DATA + offset);
        self.with(|cx| cx.write(at, value)).unwrap();
        at
    }

    /// Reads a value back.
    pub fn get<T: guest_mem::Scalar>(&self, offset: u64) -> T {
        self.with(|cx| cx.read(Va(DATA + offset))).unwrap()
    }

    /// The handle that a service stored at an offset.
    pub fn handle_at(&self, offset: u64) -> Handle {
        Handle(self.get::<HandleValue>(offset).0)
    }

    /// Writes `OBJECT_ATTRIBUTES` with a name at an offset; it takes 0x100 bytes.
    pub fn attributes(
        &self,
        offset: u64,
        root: Handle,
        name: &str,
        flags: u32,
    ) -> Option<In<abi::ob::OBJECT_ATTRIBUTES>> {
        let string_at = self.string(offset + 0x30, name);
        let attributes = abi::ob::OBJECT_ATTRIBUTES {
            Length: 0x30,
            RootDirectory: root.0,
            ObjectName: string_at.0,
            Attributes: flags,
            ..Default::default()
        };
        Some(In::new(self.put(offset, &attributes)))
    }

    /// Writes a `UNICODE_STRING` and its text at an offset; returns the address of the former.
    pub fn string(&self, offset: u64, text: &str) -> Va {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let buffer = Va(DATA + offset + 0x10);
        self.with(|cx| cx.write_bytes(buffer, &units)).unwrap();
        let string = abi::ob::UNICODE_STRING {
            Length: units.len() as u16,
            MaximumLength: units.len() as u16,
            _pad: 0,
            Buffer: buffer.0,
        };
        self.put(offset, &string)
    }
}

/// A pointer argument `offset` bytes into the process's page.
pub fn out<T>(offset: u64) -> Out<T> {
    Out::new(Va(DATA + offset))
}

/// [`out`] for parameters that are also read.
pub fn in_out<T>(offset: u64) -> InOut<T> {
    InOut::new(Va(DATA + offset))
}

/// A service call in progress.
pub struct TestCall<R> {
    thread: ObRef<Thread>,
    future: Pin<Box<dyn Future<Output = R>>>,
    result: Option<R>,
}

impl<R: Copy> TestCall<R> {
    /// The result, if the call has ended; one that was woken goes on first.
    pub fn result(&mut self) -> Option<R> {
        let woken = self.thread.sched.open().state == ThreadState::Ready;
        if self.result.is_none() && woken {
            self.step();
        }
        self.result
    }
}

impl<R> TestCall<R> {
    /// Polls once, as the run loop does when it has picked the thread.
    fn step(&mut self) {
        self.thread.sched.open().state = ThreadState::Running;
        let mut context = Context::from_waker(Waker::noop());
        match self.future.as_mut().poll(&mut context) {
            Poll::Ready(result) => self.result = Some(result),
            Poll::Pending => {
                let mut sched = self.thread.sched.open();
                if sched.state == ThreadState::Running {
                    sched.state = ThreadState::Waiting;
                }
            }
        }
    }
}
