//! Line editing, as `ReadConsole` does it when the mode has `ENABLE_LINE_INPUT`.
//!
//! Key types: [`Editor`] (the line being typed), [`History`]. What is typed is shown at the place on the screen where
//! the read began, if the mode has `ENABLE_ECHO_INPUT`.

use super::cell::is_wide;
use super::keys::*;
use super::screen::{PROCESSED, Screen, VT, WRAP};

/// Lines that are remembered.
const LINES: usize = 50;

/// Lines typed before.
#[derive(Default)]
pub struct History {
    lines: Vec<Vec<u16>>,
}

impl History {
    fn add(&mut self, line: &[u16]) {
        if line.is_empty() || self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.remove(0);
        }
        self.lines.push(line.to_vec());
    }
}

/// A line being typed.
pub struct Editor {
    text: Vec<u16>,
    cursor: usize,
    insert: bool,
    /// The line of the history that is shown; its length means none.
    recalled: usize,
    /// Where the line begins: column, and row counted from the first one ever.
    origin: (usize, usize),
    /// Columns shown last time.
    shown: usize,
}

/// What a key did.
pub enum Edited {
    /// The line goes on.
    More,
    /// Enter: the line without its end.
    Line(Vec<u16>),
    /// A control character that wakes the reader: the line with it, and the control key state.
    Woken(Vec<u16>, u32),
}

impl Editor {
    /// Begins a line at the screen's cursor, with text that is there already: it ends there.
    pub fn new(screen: &Screen, history: &History, initial: Vec<u16>) -> Self {
        let width = screen.width.max(1);
        let shown = columns(&initial);
        let at = screen.y.saturating_add(screen.scrolled).saturating_mul(width) + screen.x;
        let start = at.saturating_sub(shown);
        Editor {
            cursor: initial.len(),
            text: initial,
            insert: true,
            recalled: history.lines.len(),
            origin: (start % width, start / width),
            shown,
        }
    }

    /// Takes a key; `wakeup` has a bit for each control character that ends the read at once.
    pub fn key(
        &mut self,
        key: Key,
        wakeup: u32,
        screen: &mut Screen,
        history: &mut History,
        echo: bool,
    ) -> Edited {
        let control = key.state & ANY_CONTROL != 0;
        if key.unit != 0 && key.unit < 32 && wakeup >> key.unit & 1 != 0 {
            let mut text = self.text.clone();
            // The character replaces nothing: it shows where the cursor was.
            text.insert(self.cursor.min(text.len()), key.unit);
            return Edited::Woken(text, key.state);
        }
        match key.code {
            VK_RETURN => {
                self.cursor = self.text.len();
                self.show(screen, echo);
                if echo {
                    screen.write(&[13, 10]);
                }
                history.add(&self.text);
                return Edited::Line(std::mem::take(&mut self.text));
            }
            VK_BACK if self.cursor > 0 => {
                let from = self.before();
                self.text.drain(from..self.cursor);
                self.cursor = from;
            }
            VK_BACK => {}
            VK_DELETE => {
                let to = self.after();
                self.text.drain(self.cursor..to);
            }
            VK_LEFT if control => {
                self.cursor = word_before(&self.text, self.cursor);
            }
            VK_RIGHT if control => {
                self.cursor = word_after(&self.text, self.cursor);
            }
            VK_LEFT => self.cursor = self.before(),
            VK_RIGHT => self.cursor = self.after(),
            VK_HOME => self.cursor = 0,
            VK_END => self.cursor = self.text.len(),
            VK_ESCAPE => {
                self.text.clear();
                self.cursor = 0;
            }
            VK_INSERT => self.insert = !self.insert,
            VK_UP => self.recall(self.recalled.checked_sub(1), history),
            VK_DOWN => self.recall(self.recalled.checked_add(1), history),
            _ if key.unit != 0 => {
                if !self.insert && self.cursor < self.text.len() {
                    let to = self.after();
                    self.text.drain(self.cursor..to);
                }
                self.text.insert(self.cursor, key.unit);
                self.cursor += 1;
            }
            _ => return Edited::More,
        }
        self.show(screen, echo);
        Edited::More
    }

    fn recall(&mut self, line: Option<usize>, history: &History) {
        let Some(line) = line else { return };
        let Some(text) = history.lines.get(line) else { return };
        self.text = text.clone();
        self.cursor = self.text.len();
        self.recalled = line;
    }

    /// The start of the character before the cursor; a surrogate pair is one.
    fn before(&self) -> usize {
        let low = |unit: &u16| (0xDC00..0xE000).contains(unit);
        let back = self.cursor.saturating_sub(1);
        if self.text.get(back).is_some_and(low) { back.saturating_sub(1) } else { back }
    }

    fn after(&self) -> usize {
        let high = |unit: &u16| (0xD800..0xDC00).contains(unit);
        let step = if self.text.get(self.cursor).is_some_and(high) { 2 } else { 1 };
        (self.cursor + step).min(self.text.len())
    }

    /// Writes the line anew, and blanks where it was longer.
    fn show(&mut self, screen: &mut Screen, echo: bool) {
        if !echo {
            return;
        }
        let (mode, pending) = (screen.mode, screen.wrap_pending);
        screen.mode = (mode | PROCESSED | WRAP) & !VT;
        self.to_origin(screen);
        let mut shown = visible(&self.text);
        let columns = columns(&self.text);
        shown.extend(std::iter::repeat_n(u16::from(b' '), self.shown.saturating_sub(columns)));
        screen.write(&shown);
        self.shown = columns;
        // Writing may have scrolled: the line's place is found again, and the text up to the cursor leads to it.
        self.to_origin(screen);
        let head = self.text.get(..self.cursor).unwrap_or_default();
        screen.write(&visible(head));
        screen.mode = mode;
        screen.wrap_pending = pending && self.cursor == 0;
    }

    fn to_origin(&self, screen: &mut Screen) {
        let (x, y) = self.origin;
        screen.move_to(x, y.saturating_sub(screen.scrolled));
    }
}

/// How a line looks: control characters with a caret.
fn visible(text: &[u16]) -> Vec<u16> {
    let caret = |unit: &u16| match *unit {
        unit @ 0..32 => vec![u16::from(b'^'), unit + 0x40],
        unit => vec![unit],
    };
    text.iter().flat_map(caret).collect()
}

fn columns(text: &[u16]) -> usize {
    visible(text).iter().map(|unit| if is_wide(*unit) { 2 } else { 1 }).sum()
}

fn word_before(text: &[u16], from: usize) -> usize {
    let space = u16::from(b' ');
    let mut at = from;
    while at > 0 && text.get(at - 1) == Some(&space) {
        at -= 1;
    }
    while at > 0 && text.get(at - 1) != Some(&space) {
        at -= 1;
    }
    at
}

fn word_after(text: &[u16], from: usize) -> usize {
    let space = u16::from(b' ');
    let mut at = from;
    while at < text.len() && text.get(at) != Some(&space) {
        at += 1;
    }
    while at < text.len() && text.get(at) == Some(&space) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Typing {
        screen: Screen,
        history: History,
    }

    impl Typing {
        fn new() -> Self {
            let mut screen = Screen::new(12, 3, false);
            screen.write(&"C:\\>".encode_utf16().collect::<Vec<_>>());
            Typing { screen, history: History::default() }
        }

        fn line(&mut self, bytes: &[u8], wakeup: u32) -> (String, String) {
            let mut editor = Editor::new(&self.screen, &self.history, Vec::new());
            let keys = Decoder::default().decode(bytes).into_iter().flat_map(|(keys, _)| keys);
            let mut last = String::new();
            for key in keys {
                match editor.key(key, wakeup, &mut self.screen, &mut self.history, true) {
                    Edited::More => last = self.screen.text(self.screen.y),
                    Edited::Line(line) | Edited::Woken(line, _) => {
                        return (String::from_utf16_lossy(&line), last);
                    }
                }
            }
            panic!("the line did not end")
        }
    }

    fn pair(line: &str, shown: &str) -> (String, String) {
        (line.to_owned(), shown.to_owned())
    }

    #[test]
    fn typing_and_mending() {
        let mut typing = Typing::new();
        let line = typing.line(b"helo\x1b[Dl\x1b[H>\x1b[3~\x1b[Fs\x7f!\r", 0);
        assert_eq!(line, pair(">ello!", "C:\\>>ello!"));
        assert_eq!((typing.screen.x, typing.screen.y), (0, 1));
    }

    #[test]
    fn history() {
        let mut typing = Typing::new();
        typing.line(b"one\r", 0);
        typing.line(b"two\r", 0);
        assert_eq!(typing.line(b"x\x1b[A\x1b[A\x1b[A\r", 0), pair("one", "one"));
        assert_eq!(typing.line(b"\x1b[A\x1b[A\x1b[Bs\r", 0).0, "ones");
    }

    #[test]
    fn a_long_line_wraps_and_scrolls_with_its_start() {
        let mut typing = Typing::new();
        typing.screen.move_to(0, 2);
        let (line, _) = typing.line(b"abcdefghijklmnopq\x1b[HX\r", 0);
        assert_eq!(line, "Xabcdefghijklmnopq");
        assert_eq!([typing.screen.text(0), typing.screen.text(1)], ["Xabcdefghijk", "lmnopq"]);
    }

    #[test]
    fn a_wakeup_character_ends_the_read_with_the_line() {
        let mut typing = Typing::new();
        assert_eq!(typing.line(b"dir\x1b[D\t", 1 << 9), pair("di\tr", "C:\\>dir"));
    }
}
