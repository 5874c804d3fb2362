//! The terminal of the process, taken over for a machine's console.
//!
//! Key type: [`Terminal`]. While it exists the terminal is raw, so that every key arrives, Ctrl-C included; a thread
//! reads it and queues an event. Dropping it restores the terminal, on the way out of a panic, too.

use std::io::Result;
use std::sync::Arc;

use ntos::host::{HostEvent, Stream};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetwinsize,
    tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::events::Events;
use crate::streams;

/// A size to assume when the terminal does not know its own.
const DEFAULT_SIZE: (u16, u16) = (80, 25);

/// A terminal in raw mode.
pub(crate) struct Terminal {
    saved: Termios,
    typed: Arc<Mutex<Vec<u8>>>,
    said: Mutex<Vec<u8>>,
}

impl Terminal {
    /// Takes the terminal over; `None` unless standard input and output both are one.
    pub(crate) fn open(events: &Arc<Events>) -> Result<Option<Self>> {
        if !isatty(stdin()) || !isatty(stdout()) {
            return Ok(None);
        }
        let saved = tcgetattr(stdin())?;
        let mut raw = saved.clone();
        // What nten itself prints and the console's painter have plain line feeds.
        raw.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        raw.input_modes &= !(InputModes::ICRNL
            | InputModes::INLCR
            | InputModes::IGNCR
            | InputModes::IXON
            | InputModes::ISTRIP
            | InputModes::BRKINT);
        raw.local_modes &=
            !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
        tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
        let terminal = Terminal { saved, typed: Arc::default(), said: Mutex::default() };
        terminal.read_always(events.clone())?;
        terminal.watch_signals(events.clone())?;
        Ok(Some(terminal))
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (u16, u16) {
        match tcgetwinsize(stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            _ => DEFAULT_SIZE,
        }
    }

    /// Takes what was typed.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.typed.lock())
    }

    /// Keeps a line for the user until the terminal is given back, if it would fall between what the console shows.
    pub(crate) fn keep(&self, line: &[u8]) -> bool {
        let shares = isatty(stderr());
        if shares {
            self.said.lock().extend(line);
        }
        shares
    }

    fn read_always(&self, events: Arc<Events>) -> Result<()> {
        let typed = self.typed.clone();
        std::thread::Builder::new().name("nten-terminal".to_owned()).spawn(move || {
            let mut bytes = [0u8; 4096];
            loop {
                let mut fds = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
                while poll(&mut fds, None) == Err(Errno::INTR) {}
                match rustix::io::read(stdin(), &mut bytes) {
                    Ok(count) if count > 0 => {
                        typed.lock().extend(bytes.get(..count).unwrap_or_default());
                        events.push(HostEvent::Terminal);
                    }
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    // The terminal is gone, and so is whoever could end the machine.
                    _ => {
                        events.push(HostEvent::Interrupt);
                        return;
                    }
                }
            }
        })?;
        Ok(())
    }

    fn watch_signals(&self, events: Arc<Events>) -> Result<()> {
        let mut signals = Signals::new([SIGWINCH, SIGHUP])?;
        std::thread::Builder::new().name("nten-window".to_owned()).spawn(move || {
            for signal in signals.forever() {
                let gone = signal == SIGHUP;
                events.push(if gone { HostEvent::Interrupt } else { HostEvent::Terminal });
            }
        })?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.saved);
        let _ = streams::write(Stream::Error, &self.said.lock());
    }
}
