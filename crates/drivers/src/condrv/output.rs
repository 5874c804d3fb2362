//! Control requests for a screen buffer: what its cells, its cursor and its looks are.
//!
//! Each function takes the request's input and gives its answer. Rectangles and counts come from the guest: everything
//! is clipped to the buffer.

use abi::NtResult;
use abi::status_table::*;

use super::cell::{Cell, Pen};
use super::protocol::{long, short};
use super::screen::Screen;

/// Bytes of the structure of `GET_OUTPUT_INFO`.
const INFO: usize = 100;
/// The sixteen colours of a console, red in the low byte.
const COLORS: [u32; 16] = [
    0x00_0C_0C_0C,
    0x00_DA_37_00,
    0x00_0E_A1_13,
    0x00_DD_96_3A,
    0x00_1F_0F_C5,
    0x00_98_17_88,
    0x00_00_9C_C1,
    0x00_CC_CC_CC,
    0x00_76_76_76,
    0x00_FF_78_3B,
    0x00_0C_C6_16,
    0x00_D6_D6_61,
    0x00_56_48_E7,
    0x00_9E_00_B4,
    0x00_A5_F1_F9,
    0x00_F2_F2_F2,
];

/// Which part of a cell a request is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Attribute,
    Both,
}

fn part(mode: u32) -> NtResult<Part> {
    match mode {
        0 => Ok(Part::Text),
        1 => Ok(Part::Attribute),
        2 => Ok(Part::Both),
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

/// A rectangle that both ends belong to.
#[derive(Clone, Copy)]
struct Rect {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Rect {
    fn read(bytes: &[u8], at: usize) -> Self {
        let side = |index: usize| i32::from(short(bytes, at + index * 2) as i16);
        Rect { left: side(0), top: side(1), right: side(2), bottom: side(3) }
    }

    fn bytes(&self) -> Vec<u8> {
        [self.left, self.top, self.right, self.bottom]
            .iter()
            .flat_map(|side| (*side as i16).to_le_bytes())
            .collect()
    }

    fn of(screen: &Screen) -> Self {
        Rect { left: 0, top: 0, right: screen.width as i32 - 1, bottom: screen.height as i32 - 1 }
    }

    fn clip(&self, to: &Rect) -> Self {
        Rect {
            left: self.left.max(to.left),
            top: self.top.max(to.top),
            right: self.right.min(to.right),
            bottom: self.bottom.min(to.bottom),
        }
    }

    fn contains(&self, x: i32, y: i32) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }
}

fn cell_at(screen: &Screen, x: i32, y: i32) -> Option<Cell> {
    screen.cell(usize::try_from(x).ok()?, usize::try_from(y).ok()?)
}

fn put_at(screen: &mut Screen, x: i32, y: i32, cell: Cell) {
    if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) {
        screen.put(x, y, cell);
    }
}

/// Changes a part of a cell.
fn change(old: Cell, part: Part, unit: u16, attribute: u16) -> Cell {
    match part {
        Part::Text => Cell { unit, pen: old.pen },
        Part::Attribute => Cell { unit: old.unit, pen: Pen::of(attribute) },
        Part::Both => Cell { unit, pen: Pen::of(attribute) },
    }
}

/// `GET_OUTPUT_INFO`: cursor, size, colours, window, font.
pub fn info(screen: &Screen) -> Vec<u8> {
    let (width, height) = (screen.width as u16, screen.height as u16);
    let (font_width, font_height, font_weight, font_family) = (8, 16, 400, 54);
    let fields = [
        screen.cursor_size,
        u16::from(screen.cursor_visible),
        screen.x as u16,
        screen.y as u16,
        width,
        height,
        screen.pen.attribute,
        screen.popup,
        0,
        0,
        width - 1,
        height - 1,
        width,
        height,
        font_width,
        font_height,
        font_weight,
        font_family,
    ];
    let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    bytes.extend(COLORS.iter().flat_map(|color| color.to_le_bytes()));
    debug_assert_eq!(bytes.len(), INFO);
    bytes
}

/// `SET_OUTPUT_INFO`: the parts that the mask names. The window is the buffer, so neither can get another size.
pub fn set_info(screen: &mut Screen, input: &[u8]) -> NtResult<()> {
    const CURSOR_SHAPE: u32 = 1;
    const CURSOR_POSITION: u32 = 2;
    const SIZE: u32 = 4;
    const ATTRIBUTE: u32 = 8;
    const POPUP: u32 = 0x10;
    const WINDOW: u32 = 0x20;
    let mask = long(input, 0).ok_or(STATUS_INVALID_PARAMETER)?;
    if input.len() < 4 + INFO {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let field = |index: usize| short(input, 4 + index * 2);
    if mask & CURSOR_POSITION != 0 {
        let (x, y) = (usize::from(field(2)), usize::from(field(3)));
        if x >= screen.width || y >= screen.height {
            return Err(STATUS_INVALID_PARAMETER);
        }
        screen.move_to(x, y);
    }
    if mask & SIZE != 0 && (field(4), field(5)) != (screen.width as u16, screen.height as u16) {
        return Err(STATUS_NOT_SUPPORTED);
    }
    if mask & WINDOW != 0 {
        let window = Rect::read(input, 4 + 8 * 2);
        let whole = Rect::of(screen);
        let size = |rect: &Rect| (rect.right - rect.left, rect.bottom - rect.top);
        if size(&window) != size(&whole) || window.left != 0 || window.top != 0 {
            return Err(STATUS_NOT_SUPPORTED);
        }
    }
    if mask & CURSOR_SHAPE != 0 {
        if !(1..=100).contains(&field(0)) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        screen.cursor_size = field(0);
        screen.cursor_visible = field(1) != 0;
    }
    if mask & ATTRIBUTE != 0 {
        screen.pen = Pen::of(field(6));
        screen.default_attribute = field(6);
    }
    if mask & POPUP != 0 {
        screen.popup = field(7);
    }
    Ok(())
}

/// Where a stream of cells begins, in cells from the first.
fn start(screen: &Screen, input: &[u8]) -> NtResult<(usize, u32)> {
    let field = |index: usize| long(input, index * 4).ok_or(STATUS_INVALID_PARAMETER);
    let (x, y, mode) = (field(0)? as usize, field(1)? as usize, field(2)?);
    if x >= screen.width || y >= screen.height {
        return Err(STATUS_INVALID_PARAMETER);
    }
    Ok((y * screen.width + x, mode))
}

/// `FILL_OUTPUT`: one character or attribute over and over; answers how many cells.
pub fn fill(screen: &mut Screen, input: &[u8]) -> NtResult<Vec<u8>> {
    let (first, mode) = start(screen, input)?;
    let part = part(mode)?;
    let count = long(input, 12).ok_or(STATUS_INVALID_PARAMETER)? as usize;
    let wrap = long(input, 16).ok_or(STATUS_INVALID_PARAMETER)? != 0;
    let (unit, attribute) = (short(input, 20), short(input, 22));
    let end =
        if wrap { screen.width * screen.height } else { (first / screen.width + 1) * screen.width };
    let last = first.saturating_add(count).min(end);
    for index in first..last {
        let (x, y) = (index % screen.width, index / screen.width);
        if let Some(old) = screen.cell(x, y) {
            screen.put(x, y, change(old, part, unit, attribute));
        }
    }
    Ok(((last - first) as u32).to_le_bytes().to_vec())
}

/// `WRITE_OUTPUT`: cells in a row, or in a rectangle when a width is given; answers a count or what was written.
pub fn write(screen: &mut Screen, input: &[u8]) -> NtResult<Vec<u8>> {
    let field = |index: usize| long(input, index * 4).ok_or(STATUS_INVALID_PARAMETER);
    let (x, y, mode, width) = (field(0)?, field(1)?, field(2)?, field(3)? as usize);
    let part = part(mode)?;
    let data = input.get(16..).unwrap_or_default();
    let size = if part == Part::Both { 4 } else { 2 };
    let cells = data.chunks_exact(size);
    let count = cells.len();
    let value = |cell: &[u8]| match part {
        Part::Text => (short(cell, 0), 0),
        Part::Attribute => (0, short(cell, 0)),
        Part::Both => (short(cell, 0), short(cell, 2)),
    };
    if width == 0 {
        let (first, _) = start(screen, input)?;
        let end = screen.width * screen.height;
        let mut written = 0u32;
        for (index, cell) in (first..end).zip(cells) {
            let (x, y) = (index % screen.width, index / screen.width);
            let (unit, attribute) = value(cell);
            if let Some(old) = screen.cell(x, y) {
                screen.put(x, y, change(old, part, unit, attribute));
            }
            written += 1;
        }
        return Ok(written.to_le_bytes().to_vec());
    }
    let (left, top) = (i32::from(x as i16), i32::from(y as i16));
    let height = count.div_ceil(width);
    let corner = |start: i32, length: usize| {
        start.saturating_add(i32::try_from(length).unwrap_or(i32::MAX)).saturating_sub(1)
    };
    let area = Rect { left, top, right: corner(left, width), bottom: corner(top, height) };
    let area = area.clip(&Rect::of(screen));
    for (index, cell) in cells.enumerate() {
        let (x, y) = (corner(left, index % width + 1), corner(top, index / width + 1));
        let (unit, attribute) = value(cell);
        if area.contains(x, y)
            && let Some(old) = cell_at(screen, x, y)
        {
            put_at(screen, x, y, change(old, part, unit, attribute));
        }
    }
    Ok(area.bytes())
}

/// `READ_OUTPUT`: cells in a row, or a rectangle's behind the rectangle when a width is given.
pub fn read(screen: &Screen, input: &[u8], room: usize) -> NtResult<Vec<u8>> {
    let (first, mode) = start(screen, input)?;
    let part = part(mode)?;
    let width = long(input, 12).ok_or(STATUS_INVALID_PARAMETER)? as usize;
    let size = if part == Part::Both { 4 } else { 2 };
    let mut answer = Vec::new();
    let mut push = |cell: Cell| {
        if part != Part::Attribute {
            answer.extend(cell.unit.to_le_bytes());
        }
        if part != Part::Text {
            answer.extend(cell.pen.attribute.to_le_bytes());
        }
    };
    if width == 0 {
        let end = (screen.width * screen.height).min(first.saturating_add(room / size));
        for index in first..end {
            if let Some(cell) = screen.cell(index % screen.width, index / screen.width) {
                push(cell);
            }
        }
        return Ok(answer);
    }
    let (x, y) = (first % screen.width, first / screen.width);
    let shown = width.min(screen.width - x);
    let height = (room.saturating_sub(8) / size / shown.max(1)).min(screen.height - y);
    for row in y..y + height {
        for column in x..x + shown {
            if let Some(cell) = screen.cell(column, row) {
                push(cell);
            }
        }
    }
    let area = Rect {
        left: x as i32,
        top: y as i32,
        right: (x + shown) as i32 - 1,
        bottom: (y + height) as i32 - 1,
    };
    let mut bytes = area.bytes();
    bytes.extend(answer);
    Ok(bytes)
}

/// `SCROLL`: moves a rectangle; what it leaves is filled, what lies outside the clip stays.
pub fn scroll(screen: &mut Screen, input: &[u8]) -> NtResult<()> {
    if input.len() < 24 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let whole = Rect::of(screen);
    let from = Rect::read(input, 0).clip(&whole);
    let given = Rect::read(input, 0);
    let origin = (i32::from(short(input, 8) as i16), i32::from(short(input, 10) as i16));
    let clip = Rect::read(input, 12).clip(&whole);
    let fill = Cell { unit: short(input, 20), pen: Pen::of(short(input, 22)) };
    let (right, down) = (origin.0 - given.left, origin.1 - given.top);
    let is_blank = fill.unit == u16::from(b' ');
    let up = -down;
    // A whole buffer that moves up is what a line feed does: its rows go to the terminal's history.
    let all = from.left == 0 && from.right == whole.right && from.bottom == whole.bottom;
    if is_blank && all && right == 0 && up > 0 && from.top == up && clip.top == 0 {
        let pen = std::mem::replace(&mut screen.pen, fill.pen);
        screen.scroll_up(up as usize);
        screen.pen = pen;
        return Ok(());
    }
    let mut moved = Vec::new();
    for y in from.top..=from.bottom {
        for x in from.left..=from.right {
            let Some(cell) = cell_at(screen, x, y) else { continue };
            moved.push((x + right, y + down, cell));
            if clip.contains(x, y) {
                put_at(screen, x, y, fill);
            }
        }
    }
    for (x, y, cell) in moved {
        if clip.contains(x, y) {
            put_at(screen, x, y, cell);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::protocol::put;
    use super::*;

    fn screen() -> Screen {
        let mut screen = Screen::new(6, 3, false);
        screen.write(&"abcdef123456uvwxy".encode_utf16().collect::<Vec<_>>());
        screen
    }

    fn request(longs: &[u32], shorts: &[u16]) -> Vec<u8> {
        let mut bytes: Vec<u8> = longs.iter().flat_map(|long| long.to_le_bytes()).collect();
        bytes.extend(shorts.iter().flat_map(|short| short.to_le_bytes()));
        bytes
    }

    #[test]
    fn filling_wraps_if_asked() {
        let mut screen = screen();
        let star = u16::from(b'*');
        assert_eq!(fill(&mut screen, &request(&[4, 0, 0, 4, 1], &[star, 0])), Ok(vec![4, 0, 0, 0]));
        assert_eq!([screen.text(0), screen.text(1)], ["abcd**", "**3456"]);
        assert_eq!(
            fill(&mut screen, &request(&[4, 0, 0, 99, 0], &[star, 0])),
            Ok(vec![2, 0, 0, 0])
        );
        assert!(fill(&mut screen, &request(&[6, 0, 0, 1, 0], &[0, 0])).is_err());
        assert!(fill(&mut screen, &[0; 7]).is_err());
    }

    #[test]
    fn cells_are_read_as_written() {
        let mut screen = screen();
        let cells = [0x41, 0x1F, 0x42, 0x2E];
        let written = write(&mut screen, &request(&[5, 1, 2, 1], &cells)).unwrap();
        assert_eq!(written, request(&[], &[5, 1, 5, 2]));
        let read_back = read(&screen, &request(&[5, 1, 2, 1], &[]), 16).unwrap();
        assert_eq!(read_back, request(&[], &[5, 1, 5, 2, 0x41, 0x1F, 0x42, 0x2E]));
        let text = read(&screen, &request(&[4, 0, 0, 0], &[]), 6).unwrap();
        assert_eq!(text, request(&[], &[0x65, 0x66, 0x31]));
    }

    #[test]
    fn scrolling_a_rectangle() {
        let mut screen = screen();
        let dot = u16::from(b'.');
        let input = request(&[], &[1, 0, 2, 1, 3, 1, 0, 0, 5, 2, dot, 7]);
        scroll(&mut screen, &input).unwrap();
        let rows: Vec<String> = (0..3).map(|y| screen.text(y)).collect();
        assert_eq!(rows, ["a..def", "1..bc6", "uvw23"]);
    }

    #[test]
    fn information_is_set_by_mask() {
        let mut screen = screen();
        let mut input = request(&[2 | 8], &[]);
        input.extend(info(&screen));
        put(&mut input, 4 + 4, &[2, 0, 1, 0]);
        put(&mut input, 4 + 12, &[0x1E, 0]);
        set_info(&mut screen, &input).unwrap();
        assert_eq!((screen.x, screen.y, screen.pen.attribute), (2, 1, 0x1E));
        put(&mut input, 4 + 4, &[9, 0]);
        assert_eq!(set_info(&mut screen, &input), Err(STATUS_INVALID_PARAMETER));
    }
}
