//! The standard streams of the process.
//!
//! Reading never blocks: what is not readable yet is given to a watcher thread, which polls it and queues an event.

use std::io::Result;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use ntos::host::files::HostFile;
use ntos::host::{HostEvent, Stream, StreamKind};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::events::Events;
use crate::files::LinuxFile;

/// Device number of `/dev/null`.
const NULL_DEVICE: (u32, u32) = (1, 3);

fn descriptor(stream: Stream) -> BorrowedFd<'static> {
    match stream {
        Stream::Input => rustix::stdio::stdin(),
        Stream::Output => rustix::stdio::stdout(),
        Stream::Error => rustix::stdio::stderr(),
    }
}

/// What a stream is connected to.
pub(crate) fn kind(stream: Stream) -> StreamKind {
    let fd = descriptor(stream);
    let Ok(stat) = fstat(fd) else { return StreamKind::Null };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => StreamKind::File,
        FileType::CharacterDevice => {
            let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            if device == NULL_DEVICE {
                StreamKind::Null
            } else if rustix::termios::isatty(fd) {
                StreamKind::Terminal
            } else {
                StreamKind::Pipe
            }
        }
        _ => StreamKind::Pipe,
    }
}

/// The file that a stream is redirected to, and where in it the process stands.
pub(crate) fn file(stream: Stream) -> Option<(Arc<dyn HostFile>, u64)> {
    if kind(stream) != StreamKind::File {
        return None;
    }
    let fd = descriptor(stream);
    let position = rustix::fs::seek(fd, rustix::fs::SeekFrom::Current(0)).ok()?;
    let file = rustix::io::fcntl_dupfd_cloexec(fd, 3).ok()?;
    Some((Arc::new(LinuxFile::new(file)), position))
}

/// Polls streams for the machine.
pub(crate) struct Watcher {
    events: Arc<Events>,
    requests: Mutex<Option<Sender<Stream>>>,
}

impl Watcher {
    pub(crate) fn new(events: Arc<Events>) -> Self {
        Watcher { events, requests: Mutex::new(None) }
    }

    /// Reads what is there; `None` if nothing is there yet: an event follows.
    pub(crate) fn read(&self, stream: Stream, into: &mut [u8]) -> Result<Option<usize>> {
        let fd = descriptor(stream);
        loop {
            let mut fds = [PollFd::new(&fd, PollFlags::IN)];
            match poll(&mut fds, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Ok(0) => {
                    self.watch(stream);
                    return Ok(None);
                }
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            match rustix::io::read(fd, &mut *into) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.watch(stream);
                    return Ok(None);
                }
                // A closed descriptor is an empty stream.
                Err(Errno::BADF) => return Ok(Some(0)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Has the watcher thread tell when a stream is readable.
    fn watch(&self, stream: Stream) {
        let mut requests = self.requests.lock();
        if let Some(sender) = &*requests
            && sender.send(stream).is_ok()
        {
            return;
        }
        let (sender, receiver) = channel::<Stream>();
        let events = self.events.clone();
        let started = std::thread::Builder::new().name("nten-input".to_owned()).spawn(move || {
            while let Ok(stream) = receiver.recv() {
                let fd = descriptor(stream);
                let mut fds = [PollFd::new(&fd, PollFlags::IN)];
                while poll(&mut fds, None) == Err(Errno::INTR) {}
                events.push(HostEvent::Readable(stream));
            }
        });
        if started.is_ok() && sender.send(stream).is_ok() {
            *requests = Some(sender);
        } else {
            // Without a thread the machine polls by itself.
            self.events.push(HostEvent::Readable(stream));
        }
    }
}

/// Writes all bytes, waiting for room.
pub(crate) fn write(stream: Stream, mut bytes: &[u8]) -> Result<()> {
    let fd = descriptor(stream);
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
                while poll(&mut fds, None) == Err(Errno::INTR) {}
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
