//! VT sequences in output, interpreted when the mode has `ENABLE_VIRTUAL_TERMINAL_PROCESSING`.
//!
//! Key type: [`Parser`], the state between two characters. Sources: ECMA-48, and "Console Virtual Terminal Sequences"
//! of Microsoft Learn. A sequence that is not known is swallowed, as a terminal does.

use super::cell::Pen;
use super::screen::Screen;

const ESCAPE: u16 = 0x1B;
/// Most parameters of a sequence.
const MAX_PARAMETERS: usize = 32;
/// Longest title.
const MAX_TEXT: usize = 1024;

/// Where in a sequence the output stands.
#[derive(Default)]
pub struct Parser {
    state: State,
    parameters: Vec<u16>,
    /// `?`, `>`, `!` and the like.
    marker: Option<char>,
    text: Vec<u16>,
    saved: (usize, usize, Pen),
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    /// `ESC (` and the like: one character more.
    Designate,
    Csi,
    /// An operating system command or another string.
    String,
    /// An escape within a string: its end if a backslash follows.
    StringEscape,
}

impl Screen {
    /// Takes a character of a sequence; false if it is none and is to be written.
    pub fn interpret(&mut self, unit: u16) -> bool {
        let character = char::from_u32(u32::from(unit)).unwrap_or(' ');
        match self.parser.state {
            State::Ground if unit == ESCAPE => self.parser.state = State::Escape,
            State::Ground => return false,
            State::Escape => self.escape(character),
            State::Designate => self.parser.state = State::Ground,
            State::Csi => self.csi(unit, character),
            State::String => match unit {
                7 => self.end_of_string(),
                ESCAPE => self.parser.state = State::StringEscape,
                _ if self.parser.text.len() < MAX_TEXT => self.parser.text.push(unit),
                _ => {}
            },
            State::StringEscape => {
                self.end_of_string();
                if character != '\\' {
                    self.escape(character);
                }
            }
        }
        true
    }

    fn escape(&mut self, character: char) {
        self.parser.state = State::Ground;
        match character {
            '[' => {
                self.parser.state = State::Csi;
                self.parser.parameters.clear();
                self.parser.marker = None;
            }
            ']' | 'P' | 'X' | '^' | '_' => {
                self.parser.state = State::String;
                self.parser.text.clear();
                // Only an operating system command means something here.
                self.parser.marker = (character != ']').then_some(character);
            }
            '(' | ')' | '*' | '+' | '#' | ' ' | '%' => self.parser.state = State::Designate,
            '7' => self.save_cursor(),
            '8' => self.restore_cursor(),
            'D' => self.line_feed(),
            'E' => {
                self.x = 0;
                self.line_feed();
            }
            'M' if self.y == self.region.0 => self.shift(self.region.0, self.region.1, 1, false),
            'M' => self.move_to(self.x, self.y.saturating_sub(1)),
            'c' => self.reset(),
            _ => {}
        }
    }

    fn csi(&mut self, unit: u16, character: char) {
        let parser = &mut self.parser;
        match character {
            '0'..='9' => {
                if parser.parameters.is_empty() {
                    parser.parameters.push(0);
                }
                if let Some(last) = parser.parameters.last_mut() {
                    let digit = unit - u16::from(b'0');
                    *last = last.saturating_mul(10).saturating_add(digit);
                }
            }
            ';' | ':' if parser.parameters.len() < MAX_PARAMETERS => {
                if parser.parameters.is_empty() {
                    parser.parameters.push(0);
                }
                parser.parameters.push(0);
            }
            '<'..='?' | ' '..='/' => parser.marker = Some(character),
            '@'..='~' => {
                parser.state = State::Ground;
                let parameters = std::mem::take(&mut parser.parameters);
                let marker = parser.marker.take();
                self.control(character, marker, &parameters);
            }
            '\u{1B}' => parser.state = State::Escape,
            '\u{18}' | '\u{1A}' => parser.state = State::Ground,
            _ => {}
        }
    }

    fn control(&mut self, end: char, marker: Option<char>, parameters: &[u16]) {
        let number = |index: usize| parameters.get(index).copied().unwrap_or(0);
        // Zero and nothing mean one in most sequences.
        let count = usize::from(number(0).max(1));
        let (top, bottom) = self.region;
        match (marker, end) {
            (None, 'A') => self.move_to(self.x, self.y.saturating_sub(count)),
            (None, 'B' | 'e') => self.move_to(self.x, self.y.saturating_add(count)),
            (None, 'C' | 'a') => self.move_to(self.x.saturating_add(count), self.y),
            (None, 'D') => self.move_to(self.x.saturating_sub(count), self.y),
            (None, 'E') => self.move_to(0, self.y.saturating_add(count)),
            (None, 'F') => self.move_to(0, self.y.saturating_sub(count)),
            (None, 'G' | '`') => self.move_to(count - 1, self.y),
            (None, 'd') => self.move_to(self.x, count - 1),
            (None, 'H' | 'f') => self.move_to(usize::from(number(1).max(1)) - 1, count - 1),
            (None, 'J') => self.erase_display(number(0)),
            (None, 'K') => {
                let (from, to) = match number(0) {
                    0 => (self.x, self.width),
                    1 => (0, self.x + 1),
                    _ => (0, self.width),
                };
                self.erase(self.y, from, to);
            }
            (None, 'L') if (top..=bottom).contains(&self.y) => {
                self.shift(self.y, bottom, count, false);
            }
            (None, 'M') if (top..=bottom).contains(&self.y) => {
                self.shift(self.y, bottom, count, true);
            }
            (None, 'S') => self.scroll_up(count),
            (None, 'T') => self.shift(top, bottom, count, false),
            (None, '@') => self.shift_row(count, false),
            (None, 'P') => self.shift_row(count, true),
            (None, 'X') => self.erase(self.y, self.x, self.x.saturating_add(count)),
            (None, 'm') => {
                let default = self.default_attribute;
                self.pen.select(parameters, default);
            }
            (None, 'r') => {
                let last = match number(1) {
                    0 => self.height,
                    row => usize::from(row).min(self.height),
                };
                if count < last {
                    self.region = (count - 1, last - 1);
                    self.move_to(0, 0);
                }
            }
            (None, 's') => self.save_cursor(),
            (None, 'u') => self.restore_cursor(),
            (None, 'n') if number(0) == 6 => {
                let answer = format!("\x1b[{};{}R", self.y + 1, self.x + 1);
                self.answers.extend(answer.as_bytes());
            }
            (None, 'n') if number(0) == 5 => self.answers.extend(b"\x1b[0n"),
            (None, 'c') => self.answers.extend(b"\x1b[?1;0c"),
            (Some('!'), 'p') => self.reset(),
            (Some('?'), 'h' | 'l') => {
                let on = end == 'h';
                for &parameter in parameters {
                    match parameter {
                        25 => self.cursor_visible = on,
                        47 | 1047 | 1049 => self.alternate(on),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn erase_display(&mut self, which: u16) {
        let (x, y) = (self.x, self.y);
        let (from, to) = match which {
            0 => {
                self.erase(y, x, self.width);
                (y + 1, self.height)
            }
            1 => {
                self.erase(y, 0, x + 1);
                (0, y)
            }
            2 => (0, self.height),
            _ => return,
        };
        for y in from..to {
            self.erase(y, 0, self.width);
        }
    }

    /// Moves the rest of the cursor's row to the left or right.
    fn shift_row(&mut self, count: usize, left: bool) {
        let (x, y) = (self.x, self.y);
        let rest: Vec<_> = self.row(y).get(x..).unwrap_or_default().to_vec();
        let count = count.min(rest.len());
        self.erase(y, x, self.width);
        let kept = if left { rest.get(count..) } else { rest.get(..rest.len() - count) };
        let at = if left { x } else { x + count };
        for (index, cell) in kept.unwrap_or_default().iter().enumerate() {
            self.put(at + index, y, *cell);
        }
    }

    fn save_cursor(&mut self) {
        self.parser.saved = (self.x, self.y, self.pen);
    }

    fn restore_cursor(&mut self) {
        let (x, y, pen) = self.parser.saved;
        self.move_to(x, y);
        self.pen = pen;
    }

    fn reset(&mut self) {
        self.pen = Pen::of(self.default_attribute);
        self.region = (0, self.height - 1);
        self.cursor_visible = true;
    }

    /// `ESC ] 0 ; title BEL` sets the title.
    fn end_of_string(&mut self) {
        self.parser.state = State::Ground;
        let is_command = self.parser.marker.take().is_none();
        let text = String::from_utf16_lossy(&std::mem::take(&mut self.parser.text));
        if is_command
            && let Some((number, title)) = text.split_once(';')
            && matches!(number, "0" | "1" | "2")
        {
            self.title = Some(title.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::screen::VT;
    use super::*;

    fn screen(text: &str) -> Screen {
        let mut screen = Screen::new(10, 4, false);
        screen.mode |= VT;
        screen.write(&text.encode_utf16().collect::<Vec<_>>());
        screen
    }

    #[test]
    fn cursor_and_erasing() {
        let screen = screen("abc\x1b[2;3Hx\x1b[A\x1b[1Dy\x1b[1;1H\x1b[1P");
        assert_eq!([screen.text(0), screen.text(1)], ["by", "  x"]);
        assert_eq!((screen.x, screen.y), (0, 0));
    }

    #[test]
    fn a_region_scrolls_alone() {
        let screen = screen("1\n2\n3\n4\x1b[2;3r\x1b[3;1H\nx");
        let rows: Vec<String> = (0..4).map(|y| screen.text(y)).collect();
        assert_eq!(rows, ["1", "3", "x", "4"]);
        assert_eq!(screen.scrolled, 0);
    }

    #[test]
    fn queries_are_answered_and_titles_set() {
        let screen = screen("ab\x1b[6n\x1b]0;a title\x07c\x1b]2;b\x1b\\d");
        assert_eq!(screen.answers, b"\x1b[1;3R");
        assert_eq!(screen.title.as_deref(), Some("b"));
        assert_eq!(screen.text(0), "abcd");
    }

    #[test]
    fn colours_and_unknown_sequences() {
        let screen = screen("\x1b[32mg\x1b[?2004h\x1b[>c\x1b[99999999999999qh");
        assert_eq!(screen.text(0), "gh");
        assert_eq!(screen.cell(1, 0).unwrap().pen.attribute, 2);
    }

    #[test]
    fn the_alternate_screen_gives_the_main_one_back() {
        let mut screen = screen("main\x1b[?1049h\x1b[Hother");
        assert_eq!(screen.text(0), "other");
        screen.write(&"\x1b[?1049l".encode_utf16().collect::<Vec<_>>());
        assert_eq!(screen.text(0), "main");
        assert_eq!(screen.x, 4);
    }
}
