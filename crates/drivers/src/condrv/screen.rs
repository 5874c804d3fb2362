//! A screen buffer: cells, a cursor, and what writing text does to them.
//!
//! Key type: [`Screen`]. Its size is that of the terminal's window, as with a pseudo console. VT sequences are
//! interpreted when the output mode asks for it ([`super::vt`]); what it looks like goes to the terminal through the
//! [`Painter`], if the buffer is shown. Sources: the Console documentation of Microsoft Learn.

use super::cell::{Cell, DEFAULT_ATTRIBUTE, Pen, is_wide};
use super::painter::Painter;
use super::vt::Parser;

/// `ENABLE_PROCESSED_OUTPUT`: control characters have their meaning.
pub const PROCESSED: u32 = 1;
/// `ENABLE_WRAP_AT_EOL_OUTPUT`.
pub const WRAP: u32 = 2;
/// `ENABLE_VIRTUAL_TERMINAL_PROCESSING`.
pub const VT: u32 = 4;
/// `DISABLE_NEWLINE_AUTO_RETURN`.
pub const NO_AUTO_RETURN: u32 = 8;

/// Most columns or rows.
const MAX_SIDE: usize = 1000;

/// A screen buffer.
pub struct Screen {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    cells: Vec<Cell>,
    /// Cursor column.
    pub x: usize,
    /// Cursor row.
    pub y: usize,
    /// How the next characters are drawn.
    pub pen: Pen,
    /// What SGR 0 brings back.
    pub default_attribute: u16,
    /// The attribute word of pop-ups, kept for programs that ask.
    pub popup: u16,
    /// The output mode.
    pub mode: u32,
    /// Cursor height in percent.
    pub cursor_size: u16,
    /// Whether the cursor shows.
    pub cursor_visible: bool,
    /// First and last row that scroll.
    pub region: (usize, usize),
    /// Rows that left at the top so far: what was at row `y` then is at `y` less the difference now.
    pub scrolled: usize,
    /// The next character begins a row first.
    pub wrap_pending: bool,
    /// The interpreter of VT sequences.
    pub parser: Parser,
    /// What a VT query asked for: to be typed into the input.
    pub answers: Vec<u8>,
    /// A title that a VT sequence set.
    pub title: Option<String>,
    /// The other screen while the alternate one is shown.
    main: Option<(Vec<Cell>, usize, usize)>,
    painter: Option<Painter>,
}

impl Screen {
    /// An empty screen.
    pub fn new(width: usize, height: usize, shown: bool) -> Self {
        let (width, height) = (width.clamp(1, MAX_SIDE), height.clamp(1, MAX_SIDE));
        Screen {
            width,
            height,
            cells: vec![Cell::blank(Pen::default()); width * height],
            x: 0,
            y: 0,
            pen: Pen::default(),
            default_attribute: DEFAULT_ATTRIBUTE,
            popup: 0xF5,
            mode: PROCESSED | WRAP,
            cursor_size: 25,
            cursor_visible: true,
            region: (0, height - 1),
            scrolled: 0,
            wrap_pending: false,
            parser: Parser::default(),
            answers: Vec::new(),
            title: None,
            main: None,
            painter: shown.then(|| Painter::new(width, height)),
        }
    }

    /// A row's cells.
    pub fn row(&self, y: usize) -> &[Cell] {
        let start = y.saturating_mul(self.width);
        self.cells.get(start..start + self.width).unwrap_or_default()
    }

    /// A cell.
    pub fn cell(&self, x: usize, y: usize) -> Option<Cell> {
        self.row(y).get(x).copied()
    }

    /// Changes a cell; one outside changes nothing.
    pub fn put(&mut self, x: usize, y: usize, cell: Cell) {
        if x < self.width
            && let Some(slot) = self.cells.get_mut(y.saturating_mul(self.width).saturating_add(x))
        {
            *slot = cell;
        }
    }

    /// Empties part of a row.
    pub fn erase(&mut self, y: usize, from: usize, to: usize) {
        for x in from..to.min(self.width) {
            self.put(x, y, Cell::blank(self.pen_of_blank()));
        }
    }

    fn pen_of_blank(&self) -> Pen {
        // Erased cells have the colours and no more: an underscore under nothing is not shown.
        Pen { attribute: self.pen.attribute & 0xFF, bold: false, ..self.pen }
    }

    /// Moves the cursor; it stays inside.
    pub fn move_to(&mut self, x: usize, y: usize) {
        self.x = x.min(self.width - 1);
        self.y = y.min(self.height - 1);
        self.wrap_pending = false;
    }

    /// Writes text as the mode says.
    pub fn write(&mut self, units: &[u16]) {
        for &unit in units {
            if self.mode & PROCESSED != 0 && self.mode & VT != 0 && self.interpret(unit) {
                continue;
            }
            self.write_unit(unit);
        }
    }

    /// Writes a character as the mode says, VT sequences aside.
    pub fn write_unit(&mut self, unit: u16) {
        if self.mode & PROCESSED == 0 {
            return self.print(unit);
        }
        match unit {
            0x07 => self.bell(),
            0x08 => {
                self.x = self.x.saturating_sub(1);
                self.wrap_pending = false;
            }
            0x09 => {
                let stop = (self.x / 8 + 1) * 8;
                if self.mode & VT != 0 {
                    self.x = stop.min(self.width - 1);
                } else {
                    let count = stop.min(self.width) - self.x;
                    for _ in 0..count {
                        self.print(u16::from(b' '));
                    }
                }
            }
            0x0A => {
                if self.mode & NO_AUTO_RETURN == 0 {
                    self.x = 0;
                }
                self.line_feed();
            }
            0x0D => {
                self.x = 0;
                self.wrap_pending = false;
            }
            0 if self.mode & VT != 0 => {}
            _ => self.print(unit),
        }
    }

    /// Rings the terminal's bell, if the buffer is shown.
    pub fn bell(&mut self) {
        if let Some(painter) = &mut self.painter {
            painter.bell();
        }
    }

    /// Puts a character at the cursor and moves on.
    fn print(&mut self, unit: u16) {
        let columns = if is_wide(unit) { 2 } else { 1 };
        if self.wrap_pending || self.x + columns > self.width {
            self.wrap_pending = false;
            if self.mode & WRAP != 0 {
                self.x = 0;
                self.line_feed();
            } else {
                self.x = self.width.saturating_sub(columns);
            }
        }
        self.put(self.x, self.y, Cell { unit, pen: self.pen });
        if columns == 2 {
            self.put(self.x + 1, self.y, Cell { unit: 0, pen: self.pen });
        }
        self.x += columns;
        if self.x < self.width {
            return;
        }
        self.x = self.width - 1;
        if self.mode & WRAP == 0 {
            return;
        }
        if self.mode & VT != 0 && self.mode & NO_AUTO_RETURN != 0 {
            self.wrap_pending = true;
        } else {
            self.x = 0;
            self.line_feed();
        }
    }

    /// Moves down a row; at the end of the scrolling region its rows move up.
    pub fn line_feed(&mut self) {
        self.wrap_pending = false;
        if self.y == self.region.1 {
            self.scroll_up(1);
        } else if self.y + 1 < self.height {
            self.y += 1;
        }
    }

    /// The region's rows move up; rows that leave the whole screen go to the terminal's history.
    pub fn scroll_up(&mut self, count: usize) {
        if self.region != (0, self.height - 1) {
            return self.shift(self.region.0, self.region.1, count, true);
        }
        // What leaves must have been shown before.
        self.with_painter(|painter, screen| painter.paint_rows(screen));
        for _ in 0..count.min(self.height) {
            self.cells.drain(..self.width.min(self.cells.len()));
            let blank = Cell::blank(self.pen_of_blank());
            self.cells.extend(std::iter::repeat_n(blank, self.width));
            self.scrolled += 1;
            if let Some(painter) = &mut self.painter {
                painter.scroll_up();
            }
        }
    }

    /// Moves rows `top..=bottom` up or down; empty rows come in.
    pub fn shift(&mut self, top: usize, bottom: usize, count: usize, up: bool) {
        let bottom = bottom.min(self.height - 1);
        if top > bottom {
            return;
        }
        let rows = bottom - top + 1;
        let count = count.min(rows);
        let blank = Cell::blank(self.pen_of_blank());
        let range = top * self.width..(bottom + 1) * self.width;
        let Some(part) = self.cells.get_mut(range) else { return };
        let moved = count * self.width;
        if up {
            part.rotate_left(moved);
            part.iter_mut().rev().take(moved).for_each(|cell| *cell = blank);
        } else {
            part.rotate_right(moved);
            part.iter_mut().take(moved).for_each(|cell| *cell = blank);
        }
    }

    /// Shows the alternate screen, or the main one again.
    pub fn alternate(&mut self, on: bool) {
        if on == self.main.is_some() {
            return;
        }
        self.with_painter(|painter, screen| painter.paint(screen));
        match self.main.take() {
            None => {
                let blank = vec![Cell::blank(Pen::default()); self.cells.len()];
                let cells = std::mem::replace(&mut self.cells, blank);
                self.main = Some((cells, self.x, self.y));
            }
            Some((mut cells, x, y)) => {
                cells.resize(self.width * self.height, Cell::blank(Pen::default()));
                self.cells = cells;
                self.move_to(x, y);
            }
        }
        if let Some(painter) = &mut self.painter {
            painter.alternate(on);
        }
    }

    /// The window has another size: what fits stays, the rows around the cursor first.
    pub fn resize(&mut self, width: usize, height: usize) {
        let (width, height) = (width.clamp(1, MAX_SIDE), height.clamp(1, MAX_SIDE));
        let skipped = (self.y + 1).saturating_sub(height);
        let mut cells = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = self.row(y + skipped);
            cells.extend(
                (0..width)
                    .map(|x| row.get(x).copied().unwrap_or_else(|| Cell::blank(Pen::default()))),
            );
        }
        self.cells = cells;
        (self.width, self.height) = (width, height);
        self.scrolled += skipped;
        self.region = (0, height - 1);
        self.move_to(self.x, self.y - skipped.min(self.y));
        if let Some(painter) = &mut self.painter {
            painter.resize(width, height);
        }
    }

    /// Shows or hides the buffer on the terminal.
    pub fn show(&mut self, shown: bool) {
        self.painter = shown.then(|| {
            let mut painter = Painter::new(self.width, self.height);
            painter.resize(self.width, self.height);
            painter
        });
    }

    /// What makes the terminal look like this buffer; empty if it does already.
    pub fn paint(&mut self) -> Vec<u8> {
        self.with_painter(|painter, screen| painter.paint(screen));
        self.painter.as_mut().map(Painter::take).unwrap_or_default()
    }

    /// What leaves the terminal as a shell wants it.
    pub fn finish(&mut self) -> Vec<u8> {
        self.alternate(false);
        self.with_painter(|painter, screen| {
            painter.paint(screen);
            painter.finish();
        });
        self.painter.as_mut().map(Painter::take).unwrap_or_default()
    }

    fn with_painter(&mut self, use_it: impl FnOnce(&mut Painter, &Screen)) {
        if let Some(mut painter) = self.painter.take() {
            use_it(&mut painter, self);
            self.painter = Some(painter);
        }
    }

    /// A row as text, for tests.
    #[cfg(test)]
    pub fn text(&self, y: usize) -> String {
        let units: Vec<u16> = self.row(y).iter().map(|c| c.unit).filter(|u| *u != 0).collect();
        String::from_utf16_lossy(&units).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn lines_wrap_and_scroll() {
        let mut screen = Screen::new(4, 3, false);
        screen.write(&units("abcdef\ngh\r\nX"));
        assert_eq!([screen.text(0), screen.text(1), screen.text(2)], ["ef", "gh", "X"]);
        assert_eq!((screen.x, screen.y, screen.scrolled), (1, 2, 1));
    }

    #[test]
    fn without_processing_control_characters_are_characters() {
        let mut screen = Screen::new(4, 2, false);
        screen.mode = 0;
        screen.write(&units("a\nbcdef"));
        assert_eq!(screen.text(0), "a\nbf");
        assert_eq!((screen.x, screen.y), (3, 0));
    }

    #[test]
    fn wide_characters_take_two_cells() {
        let mut screen = Screen::new(3, 2, false);
        screen.write(&units("a\u{4E2D}b"));
        assert_eq!([screen.text(0), screen.text(1)], ["a\u{4E2D}", "b"]);
    }

    #[test]
    fn a_smaller_window_keeps_the_cursor() {
        let mut screen = Screen::new(10, 4, false);
        screen.write(&units("1\n2\n3\nprompt>"));
        screen.resize(8, 2);
        assert_eq!([screen.text(0), screen.text(1)], ["3", "prompt>"]);
        assert_eq!((screen.x, screen.y), (7, 1));
    }
}
