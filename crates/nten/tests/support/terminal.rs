//! Runs `nten` at a pseudo terminal: [`Terminal`] types and waits for what is shown.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long something may take to be shown.
const PATIENCE: Duration = Duration::from_secs(120);

/// A pseudo terminal of 80 by 25 with `nten` at it.
pub struct Terminal {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: Vec<u8>,
    /// What was waited for ended here in the plain text.
    mark: usize,
}

impl Terminal {
    /// Starts `nten` in a folder.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
        grantpt(&master).expect("grant");
        unlockpt(&master).expect("unlock");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
        let slave = slave.expect("the other end");
        resize(&master, 80, 25);
        let end = || slave.try_clone().expect("a descriptor");
        // The terminal has to be the controlling one, or no signal tells of its size.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(super::nten())
            .args(arguments)
            .current_dir(folder)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("start setsid");
        Terminal { master: master.into(), slave, child, seen: Vec::new(), mark: 0 }
    }

    /// Waits until a text is shown behind the last one waited for.
    pub fn shows(&mut self, text: &str) -> &mut Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let plain = plain(&self.seen);
            if let Some(at) = plain.get(self.mark..).and_then(|rest| rest.find(text)) {
                self.mark += at + text.len();
                return self;
            }
            assert!(Instant::now() < end && self.read(), "no {text:?} in\n{plain}");
        }
    }

    /// Types.
    pub fn types(&mut self, text: &str) -> &mut Self {
        self.master.write_all(text.as_bytes()).expect("type");
        self
    }

    /// Gives the terminal another size.
    pub fn resizes(&mut self, columns: u16, rows: u16) -> &mut Self {
        resize(&self.master, columns, rows);
        self
    }

    /// Everything shown, without sequences.
    pub fn text(&self) -> String {
        plain(&self.seen)
    }

    /// Everything that arrived.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Waits for the end and checks the exit status and that the terminal is as it was.
    pub fn exits(&mut self, status: i32) -> &mut Self {
        let end = Instant::now() + PATIENCE;
        let ended = loop {
            if let Some(ended) = self.child.try_wait().expect("wait") {
                break ended;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.text());
            self.read();
        };
        while self.read() {}
        assert_eq!(ended.code(), Some(status), "{}", self.text());
        let modes = tcgetattr(&self.slave).expect("the terminal's modes").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        self
    }

    /// Reads what is there; false if nothing came for a while.
    fn read(&mut self) -> bool {
        let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        let running = self.child.try_wait().expect("wait").is_none();
        let ready = {
            let fd = self.master.as_fd();
            poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait)).expect("poll") > 0
        };
        if !ready {
            return running;
        }
        let mut bytes = [0; 4096];
        let count = self.master.read(&mut bytes).expect("read");
        self.seen.extend(&bytes[..count]);
        count > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(master: &impl AsFd, columns: u16, rows: u16) {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("set the size");
}

/// The text of a terminal's output: carriage returns and sequences left out.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\r' => {}
            '\x1b' => match rest.next() {
                Some('[') => {
                    rest.find(|end| ('@'..='~').contains(end));
                }
                Some(']') => {
                    rest.find(|end| *end == '\x07');
                }
                _ => {}
            },
            _ => plain.push(character),
        }
    }
    plain
}
