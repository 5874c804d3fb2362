//! From cells to a terminal: the VT output that makes the terminal show what a screen buffer contains.
//!
//! Key type: [`Painter`]. It knows what the terminal shows and emits what differs. Rows are addressed relative to the
//! row where nten was started, which is the buffer's first one: a program that prints a line leaves the terminal's
//! earlier content alone, and rows come into being by line feeds at the bottom, so that history scrolls as usual.

use super::cell::{Cell, Pen};
use super::screen::Screen;

/// Characters from here on may take a number of columns that the terminal decides.
const UNCERTAIN: u16 = 0x300;

/// What the terminal shows.
pub struct Painter {
    width: usize,
    shown: Vec<Cell>,
    /// The cursor's row, relative to the first.
    row: usize,
    /// Its column, if known.
    column: Option<usize>,
    /// The last row that exists on the terminal.
    reached: usize,
    pen: Pen,
    cursor_visible: bool,
    out: Vec<u8>,
    /// What the main screen showed while the alternate one does.
    main: Option<Box<(Vec<Cell>, usize, Option<usize>, usize)>>,
}

impl Painter {
    /// A terminal whose cursor is at the start of an empty row.
    pub fn new(width: usize, height: usize) -> Self {
        Painter {
            width,
            shown: vec![Cell::blank(Pen::default()); width * height],
            row: 0,
            column: Some(0),
            reached: 0,
            pen: Pen::default(),
            cursor_visible: true,
            out: Vec::new(),
            main: None,
        }
    }

    /// Takes what is to be written.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Rings.
    pub fn bell(&mut self) {
        self.out.push(7);
    }

    /// Emits the difference in what rows contain; the cursor stays behind the last change.
    pub fn paint_rows(&mut self, screen: &Screen) {
        let is_empty = |cells: &[Cell]| cells.iter().all(Cell::is_erased);
        if !is_empty(&self.shown) && (0..screen.height).all(|y| is_empty(screen.row(y))) {
            self.clear(self.shown.len());
        }
        for y in 0..screen.height {
            self.paint_row(y, screen.row(y));
        }
    }

    /// Emits the difference and brings the cursor to its place.
    pub fn paint(&mut self, screen: &Screen) {
        self.paint_rows(screen);
        self.bridge(screen.x, screen.y, screen.row(screen.y));
        self.go_to(screen.x, screen.y);
        if self.cursor_visible != screen.cursor_visible {
            self.cursor_visible = screen.cursor_visible;
            let end = if self.cursor_visible { 'h' } else { 'l' };
            self.emit(&format!("\x1b[?25{end}"));
        }
    }

    fn paint_row(&mut self, y: usize, row: &[Cell]) {
        let start = y * self.width;
        let Some(shown) = self.shown.get(start..start + self.width) else { return };
        if shown == row {
            return;
        }
        let shown = shown.to_vec();
        // Cells from here on are erased in one go.
        let end = row.iter().rposition(|cell| !cell.is_erased()).map_or(0, |last| last + 1);
        let mut x = 0;
        while x < end {
            let (Some(cell), Some(old)) = (row.get(x), shown.get(x)) else { break };
            if cell == old {
                x += 1;
                continue;
            }
            x += self.print(x, y, row);
        }
        if shown.get(end..).unwrap_or_default().iter().any(|cell| !cell.is_erased()) {
            self.go_to(end.min(self.width - 1), y);
            self.use_pen(Pen::default());
            self.emit("\x1b[K");
        }
        if let Some(shown) = self.shown.get_mut(start..start + self.width) {
            shown.copy_from_slice(row);
        }
    }

    /// Prints the character of a cell; returns how many cells it takes.
    fn print(&mut self, x: usize, y: usize, row: &[Cell]) -> usize {
        let Some(cell) = row.get(x) else { return 1 };
        let next = row.get(x + 1).map_or(0, |cell| cell.unit);
        let (character, cells) = match cell.unit {
            // The second half of something whose first half is gone.
            0 | 0xDC00..=0xDFFF => (' ', 1),
            0xD800..=0xDBFF => {
                let pair = char::decode_utf16([cell.unit, next]).next();
                match pair {
                    Some(Ok(character)) => (character, 2),
                    _ => (char::REPLACEMENT_CHARACTER, 1),
                }
            }
            // Control characters of unprocessed output.
            1..=0x1F | 0x7F..=0x9F => ('\u{FFFD}', 1),
            unit => (char::from_u32(u32::from(unit)).unwrap_or(' '), if next == 0 { 2 } else { 1 }),
        };
        self.bridge(x, y, row);
        self.go_to(x, y);
        self.use_pen(cell.pen);
        self.out.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
        let certain = cell.unit < UNCERTAIN && x + cells < self.width;
        self.column = certain.then_some(x + cells);
        cells
    }

    /// Reaches a cell a little further on by printing what lies between again, which is shorter than moving.
    fn bridge(&mut self, x: usize, y: usize, row: &[Cell]) {
        const FAR: usize = 8;
        let Some(column) = self.column.filter(|column| *column < x && x - column <= FAR) else {
            return;
        };
        let between = row.get(column..x).unwrap_or_default();
        let plain = |cell: &Cell| (0x20..0x7F).contains(&cell.unit) && cell.pen == self.pen;
        if self.row == y && between.iter().all(plain) {
            self.out.extend(between.iter().map(|cell| cell.unit as u8));
            self.column = Some(x);
        }
    }

    fn go_to(&mut self, x: usize, y: usize) {
        if y > self.reached {
            self.use_pen(Pen::default());
            self.down_to(self.reached);
            // The terminal's output processing makes a line feed begin the row.
            for _ in self.reached..y {
                self.emit("\n");
            }
            (self.row, self.reached, self.column) = (y, y, Some(0));
        } else if y > self.row {
            self.down_to(y);
        } else if y < self.row {
            self.emit(&format!("\x1b[{}A", self.row - y));
            self.row = y;
        }
        if self.column == Some(x) {
            return;
        }
        if let Some(column) = self.column
            && x > 0
            && x < column
            && column - x <= 4
        {
            self.out.extend(std::iter::repeat_n(8, column - x));
        } else {
            self.emit("\r");
            if x > 0 {
                self.emit(&format!("\x1b[{x}C"));
            }
        }
        self.column = Some(x);
    }

    fn down_to(&mut self, y: usize) {
        if y > self.row {
            self.emit(&format!("\x1b[{}B", y - self.row));
            self.row = y;
        }
    }

    fn use_pen(&mut self, pen: Pen) {
        if self.pen != pen {
            self.pen = pen;
            self.emit(&pen.sequence());
        }
    }

    /// The buffer's rows moved up by one: the terminal's do so by a line feed in its last row.
    pub fn scroll_up(&mut self) {
        let height = self.shown.len() / self.width.max(1);
        let last = height.saturating_sub(1);
        if self.row != last {
            self.go_to(0, last);
        }
        self.use_pen(Pen::default());
        self.emit("\n");
        self.column = Some(0);
        self.shown.drain(..self.width.min(self.shown.len()));
        self.shown.resize(height * self.width, Cell::blank(Pen::default()));
    }

    /// The terminal has another size and shows nobody knows what: everything is painted anew.
    pub fn resize(&mut self, width: usize, height: usize) {
        self.width = width;
        self.clear(width * height);
    }

    fn clear(&mut self, cells: usize) {
        self.use_pen(Pen::default());
        self.emit("\x1b[H\x1b[2J");
        self.shown = vec![Cell::blank(Pen::default()); cells];
        // From now on the buffer's rows are those of the whole terminal.
        let last = (cells / self.width.max(1)).saturating_sub(1);
        (self.row, self.column, self.reached) = (0, Some(0), last);
    }

    /// Goes to the terminal's alternate screen or comes back.
    pub fn alternate(&mut self, on: bool) {
        self.use_pen(Pen::default());
        let cells = self.shown.len();
        if on {
            self.emit("\x1b[?1049h");
            let shown = std::mem::take(&mut self.shown);
            self.main = Some(Box::new((shown, self.row, self.column, self.reached)));
            self.clear(cells);
        } else if let Some(main) = self.main.take() {
            self.emit("\x1b[?1049l");
            (self.shown, self.row, self.column, self.reached) = *main;
            if self.shown.len() != cells {
                self.clear(cells);
            }
        }
    }

    /// Leaves the terminal: the cursor shows, in the default colours.
    pub fn finish(&mut self) {
        self.use_pen(Pen::default());
        if !self.cursor_visible {
            self.emit("\x1b[?25h");
            self.cursor_visible = true;
        }
    }

    fn emit(&mut self, text: &str) {
        self.out.extend(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(screen: &mut Screen, text: &str) -> String {
        screen.write(&text.encode_utf16().collect::<Vec<_>>());
        String::from_utf8(screen.paint()).unwrap()
    }

    #[test]
    fn plain_text_is_passed_on_as_it_is() {
        let mut screen = Screen::new(20, 4, true);
        assert_eq!(after(&mut screen, "hello\n"), "hello\n");
        assert_eq!(after(&mut screen, "a b  c\n"), "a b  c\n");
        assert_eq!(after(&mut screen, "C:\\>"), "C:\\>");
        assert_eq!(after(&mut screen, "d"), "d");
        assert_eq!(after(&mut screen, ""), "");
    }

    #[test]
    fn rows_that_leave_were_shown_before() {
        let mut screen = Screen::new(20, 2, true);
        assert_eq!(after(&mut screen, "1\n2\n3\n"), "1\n2\n3\n");
    }

    #[test]
    fn only_what_differs_is_painted() {
        let mut screen = Screen::new(20, 3, true);
        after(&mut screen, "abcdef\nsecond");
        screen.move_to(2, 0);
        assert_eq!(after(&mut screen, "X"), "\x1b[1A\x08\x08\x08\x08X");
        screen.erase(0, 3, 20);
        assert_eq!(after(&mut screen, ""), "\x1b[K");
        screen.erase(0, 0, 20);
        screen.erase(1, 0, 20);
        assert_eq!(after(&mut screen, ""), "\x1b[H\x1b[2J\x1b[3C");
    }

    #[test]
    fn colours_are_set_and_taken_back() {
        let mut screen = Screen::new(20, 3, true);
        screen.pen = Pen::of(4);
        assert_eq!(after(&mut screen, "red"), "\x1b[0;31mred");
        screen.pen = Pen::default();
        assert_eq!(after(&mut screen, "x"), "\x1b[0mx");
    }
}
