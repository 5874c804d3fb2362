//! A character cell of a screen buffer: the character, its attribute word, and what VT sequences add to it.
//!
//! Key types: [`Cell`], [`Pen`]. An attribute word has four bits of foreground and four of background in the order
//! blue, green, red, intensity; VT colours beyond these sixteen are kept beside it.

/// The attribute word of a fresh console: grey on black.
pub const DEFAULT_ATTRIBUTE: u16 = 7;
/// `COMMON_LVB_REVERSE_VIDEO`.
pub const REVERSE: u16 = 0x4000;
/// `COMMON_LVB_UNDERSCORE`.
pub const UNDERSCORE: u16 = 0x8000;

/// A colour of a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Color {
    /// The one that the attribute word names.
    #[default]
    Attribute,
    /// One of the 256 of a terminal.
    Index(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// How characters are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pen {
    /// The attribute word.
    pub attribute: u16,
    /// The foreground.
    pub foreground: Color,
    /// The background.
    pub background: Color,
    /// Bold, which is not a bit of the attribute word.
    pub bold: bool,
}

impl Default for Pen {
    fn default() -> Self {
        Pen::of(DEFAULT_ATTRIBUTE)
    }
}

impl Pen {
    /// The pen of an attribute word.
    pub fn of(attribute: u16) -> Self {
        Pen { attribute, foreground: Color::Attribute, background: Color::Attribute, bold: false }
    }

    /// Applies the parameters of an SGR sequence (ECMA-48 8.3.117) over the attribute that 0 brings back.
    pub fn select(&mut self, parameters: &[u16], default: u16) {
        let mut rest = parameters.iter().copied();
        if parameters.is_empty() {
            *self = Pen::of(default);
        }
        while let Some(parameter) = rest.next() {
            match parameter {
                0 => *self = Pen::of(default),
                1 => {
                    self.bold = true;
                    self.attribute |= 8;
                }
                22 => {
                    self.bold = false;
                    self.attribute &= !8;
                }
                4 => self.attribute |= UNDERSCORE,
                24 => self.attribute &= !UNDERSCORE,
                7 => self.attribute |= REVERSE,
                27 => self.attribute &= !REVERSE,
                30..=37 => self.set_foreground(parameter - 30, self.bold),
                90..=97 => self.set_foreground(parameter - 90, true),
                39 => {
                    self.foreground = Color::Attribute;
                    self.attribute = self.attribute & !0xF | default & 0xF;
                }
                40..=47 => self.set_background(parameter - 40, false),
                100..=107 => self.set_background(parameter - 100, true),
                49 => {
                    self.background = Color::Attribute;
                    self.attribute = self.attribute & !0xF0 | default & 0xF0;
                }
                38 => match extended(&mut rest) {
                    Some(Color::Index(index @ 0..=15)) => {
                        self.set_foreground(u16::from(index & 7), index > 7);
                    }
                    Some(color) => self.foreground = color,
                    None => return,
                },
                48 => match extended(&mut rest) {
                    Some(Color::Index(index @ 0..=15)) => {
                        self.set_background(u16::from(index & 7), index > 7);
                    }
                    Some(color) => self.background = color,
                    None => return,
                },
                _ => {}
            }
        }
    }

    fn set_foreground(&mut self, ansi: u16, bright: bool) {
        self.foreground = Color::Attribute;
        self.attribute = self.attribute & !0xF | swap(ansi) | if bright { 8 } else { 0 };
    }

    fn set_background(&mut self, ansi: u16, bright: bool) {
        self.background = Color::Attribute;
        let color = swap(ansi) | if bright { 8 } else { 0 };
        self.attribute = self.attribute & !0xF0 | color << 4;
    }

    /// The SGR sequence that makes a terminal draw so. Grey on black is the terminal's own default.
    pub fn sequence(&self) -> String {
        let mut text = "\x1b[0".to_owned();
        if self.bold {
            text.push_str(";1");
        }
        if self.attribute & UNDERSCORE != 0 {
            text.push_str(";4");
        }
        if self.attribute & REVERSE != 0 {
            text.push_str(";7");
        }
        let base = |color: u16, normal: u16| {
            let first = if color & 8 != 0 { normal + 60 } else { normal };
            first + swap(color & 7)
        };
        match self.foreground {
            Color::Attribute if self.attribute & 0xF == DEFAULT_ATTRIBUTE => {}
            Color::Attribute => text.push_str(&format!(";{}", base(self.attribute & 0xF, 30))),
            Color::Index(index) => text.push_str(&format!(";38;5;{index}")),
            Color::Rgb(r, g, b) => text.push_str(&format!(";38;2;{r};{g};{b}")),
        }
        match self.background {
            Color::Attribute if self.attribute & 0xF0 == 0 => {}
            Color::Attribute => {
                text.push_str(&format!(";{}", base(self.attribute >> 4 & 0xF, 40)));
            }
            Color::Index(index) => text.push_str(&format!(";48;5;{index}")),
            Color::Rgb(r, g, b) => text.push_str(&format!(";48;2;{r};{g};{b}")),
        }
        text.push('m');
        text
    }
}

/// Between the console's order of colour bits and that of ANSI: red and blue change places.
fn swap(color: u16) -> u16 {
    color & 2 | (color & 1) << 2 | color >> 2 & 1
}

/// What follows 38 or 48.
fn extended(rest: &mut impl Iterator<Item = u16>) -> Option<Color> {
    let byte = |value: u16| value.min(255) as u8;
    match rest.next()? {
        5 => Some(Color::Index(byte(rest.next()?))),
        2 => Some(Color::Rgb(byte(rest.next()?), byte(rest.next()?), byte(rest.next()?))),
        _ => None,
    }
}

/// A cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    /// A UTF-16 unit; a pair takes two cells, as does a wide character, whose second cell has 0.
    pub unit: u16,
    /// How it is drawn.
    pub pen: Pen,
}

impl Cell {
    /// An empty cell.
    pub fn blank(pen: Pen) -> Self {
        Cell { unit: u16::from(b' '), pen }
    }

    /// True if a terminal's erased cell looks the same.
    pub fn is_erased(&self) -> bool {
        self.unit == u16::from(b' ') && self.pen == Pen::default()
    }
}

/// True for a character that takes two columns (the East Asian wide blocks of UAX 11).
pub fn is_wide(unit: u16) -> bool {
    matches!(unit,
        0x1100..=0x115F | 0x2E80..=0x303E | 0x3041..=0xA4CF | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sgr_becomes_attributes_and_back() {
        let mut pen = Pen::default();
        pen.select(&[31], DEFAULT_ATTRIBUTE);
        assert_eq!(pen.attribute, 4);
        assert_eq!(pen.sequence(), "\x1b[0;31m");
        pen.select(&[94, 43], DEFAULT_ATTRIBUTE);
        assert_eq!(pen.attribute, 0x69);
        assert_eq!(pen.sequence(), "\x1b[0;94;43m");
        pen.select(&[38, 2, 1, 2, 3, 48, 5, 200, 4], DEFAULT_ATTRIBUTE);
        assert_eq!(pen.sequence(), "\x1b[0;4;38;2;1;2;3;48;5;200m");
        pen.select(&[], DEFAULT_ATTRIBUTE);
        assert_eq!(pen, Pen::default());
        assert_eq!(pen.sequence(), "\x1b[0m");
    }

    #[test]
    fn an_extended_colour_cut_short_changes_nothing() {
        let mut pen = Pen::default();
        pen.select(&[38, 5], DEFAULT_ATTRIBUTE);
        assert_eq!(pen, Pen::default());
    }
}
