//! Name expressions with wildcards, as `FsRtlIsNameInExpression` defines them.
//!
//! `*` and `?` are the usual; `<` (`DOS_STAR`) takes any characters but not the last dot; `>` (`DOS_QM`) takes one
//! character, or none at a dot or at the end; `"` (`DOS_DOT`) takes a dot, or nothing at the end. Win32 makes the
//! latter three from `*.`, `?` and `.` so that `*.` and `a??.*` mean what they meant on DOS.

use crate::ustr::upcase;

const STAR: u16 = b'*' as u16;
const QUESTION: u16 = b'?' as u16;
const DOS_STAR: u16 = b'<' as u16;
const DOS_QM: u16 = b'>' as u16;
const DOS_DOT: u16 = b'"' as u16;
const DOT: u16 = b'.' as u16;

/// True if a name component holds a wildcard.
pub fn has_wildcards(expression: &[u16]) -> bool {
    expression.iter().any(|c| matches!(*c, STAR | QUESTION | DOS_STAR | DOS_QM | DOS_DOT))
}

/// True if the name matches; the case of letters does not count.
pub fn is_name_in_expression(expression: &[u16], name: &[u16]) -> bool {
    if expression == [STAR] {
        return true;
    }
    let last_dot = name.iter().rposition(|c| *c == DOT);
    // The states are positions in the expression; those that the name read so far can have led to are set.
    let mut states = vec![false; expression.len() + 1];
    if let Some(first) = states.first_mut() {
        *first = true;
    }
    skip_empty(expression, &mut states, name.first().copied());
    for (at, c) in name.iter().enumerate() {
        let mut next = vec![false; expression.len() + 1];
        for (index, wanted) in expression.iter().enumerate() {
            if !states.get(index).copied().unwrap_or_default() {
                continue;
            }
            let (stay, advance) = match *wanted {
                STAR => (true, false),
                DOS_STAR => (Some(at) != last_dot, false),
                QUESTION => (false, true),
                DOS_QM => (false, *c != DOT),
                DOS_DOT => (false, *c == DOT),
                other => (false, other == *c || upcase(other) == upcase(*c)),
            };
            if stay && let Some(slot) = next.get_mut(index) {
                *slot = true;
            }
            if advance && let Some(slot) = next.get_mut(index + 1) {
                *slot = true;
            }
        }
        states = next;
        skip_empty(expression, &mut states, name.get(at + 1).copied());
    }
    states.last().copied().unwrap_or_default()
}

/// Adds the states that are reached without reading a character; `next` is the one that follows.
fn skip_empty(expression: &[u16], states: &mut [bool], next: Option<u16>) {
    for (index, wanted) in expression.iter().enumerate() {
        let skips = match *wanted {
            STAR | DOS_STAR => true,
            DOS_QM => next.is_none_or(|c| c == DOT),
            DOS_DOT => next.is_none(),
            _ => false,
        };
        if skips
            && states.get(index).copied().unwrap_or_default()
            && let Some(slot) = states.get_mut(index + 1)
        {
            *slot = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, name: &str) -> bool {
        let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        is_name_in_expression(&units(expression), &units(name))
    }

    #[test]
    fn star_and_question() {
        assert!(matches("*", "") && matches("*", "a.b"));
        assert!(matches("*.TXT", "a.b.txt") && !matches("*.txt", "txt"));
        assert!(matches("a?c", "ABC") && !matches("a?c", "ac"));
        assert!(matches("a*b*c", "aXbYbZc") && !matches("a*b*c", "ac"));
    }

    #[test]
    fn dos_star_stops_at_the_last_dot() {
        assert!(matches("<.txt", "a.b.txt"));
        assert!(matches("<", "readme") && !matches("<", "readme.txt"));
        assert!(matches("<.", "a.") && !matches("<.", "a.b"));
        assert!(matches("<\"*", "readme") && matches("<\"*", "readme.txt"));
    }

    #[test]
    fn dos_question_collapses_at_a_dot_and_at_the_end() {
        assert!(matches("a>>>.t>>", "a.txt") && matches("a>>>.t>>", "abcd.t"));
        assert!(!matches("a>>>.t>>", "abcde.t"));
        assert!(matches("a>>>", "a") && !matches("a???", "a"));
    }

    #[test]
    fn dos_dot_takes_a_dot_or_the_end() {
        assert!(matches("a\"", "a") && matches("a\"", "a.") && !matches("a\"", "ab"));
    }
}
