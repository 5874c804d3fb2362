//! Filter expressions, in strace's manner: which calls a trace shows.
//!
//! - `NtCreateFile,NtOpen*`, `%file`, `/^NtQuery.*File$/`: the calls of these services, patterns, groups, expressions;
//!   `trace=` may stand before the list.
//! - `%file,!NtClose`: a name after `!` is left out. `!NtClose,%registry`: a list that starts with `!` shows all but
//!   what it names. `?NtNew` does not mind that there is no such service.
//! - `status=success`, `status=failed`, `status=STATUS_ACCESS_DENIED,0xC0000034`, `status=!success`: by result.
//!
//! Lists of one kind add up; a call is shown if its name and its status are.
//!
//! Key types: [`Expression`], [`FilterError`]. Neighbour: `super::groups`.

use std::collections::BTreeSet;

use abi::NtStatus;
use regex_lite::Regex;

use super::Filter;
use super::groups::{GROUPS, Group, matches_glob};

/// Why an expression is refused.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// `%name` is no group.
    #[error("there is no group %{name}; there are {}", groups())]
    UnknownGroup {
        /// The name.
        name: String,
    },
    /// No service has the name.
    #[error("there is no service {name}{}", suggestion(.similar))]
    UnknownService {
        /// The name.
        name: String,
        /// Names that look like it.
        similar: Vec<&'static str>,
    },
    /// `/…/` is no regular expression.
    #[error("/{pattern}/ is no regular expression: {reason}")]
    BadRegex {
        /// The text between the slashes.
        pattern: String,
        /// What is wrong.
        reason: regex_lite::Error,
    },
    /// The text before `=` is not known.
    #[error("there is no qualifier {name}=; there are trace= and status=")]
    UnknownQualifier {
        /// The text.
        name: String,
    },
    /// A status is neither a name nor a number.
    #[error(
        "{name} is no status: use success, failed, a name such as STATUS_ACCESS_DENIED, or 0x…"
    )]
    UnknownStatus {
        /// The text.
        name: String,
    },
    /// Nothing between two commas.
    #[error("an empty name in {expression:?}")]
    Empty {
        /// The expression.
        expression: String,
    },
}

fn groups() -> String {
    GROUPS.iter().map(|group| format!("%{}", group.name)).collect::<Vec<_>>().join(", ")
}

fn suggestion(similar: &[&'static str]) -> String {
    match similar {
        [] => String::new(),
        [one] => format!("; did you mean {one}?"),
        many => format!("; did you mean one of {}?", many.join(", ")),
    }
}

/// Parses the expressions of a command line; none at all shows everything.
pub fn parse(expressions: &[String]) -> Result<Box<dyn Filter>, FilterError> {
    let mut parsed = Expression::default();
    for expression in expressions {
        match expression.split_once('=') {
            Some(("trace" | "t", list)) => parsed.names.push(List::parse(list, name_item)?),
            Some(("status" | "s", list)) => parsed.statuses.push(List::parse(list, status_item)?),
            Some((name, _)) if !name.contains('/') => {
                return Err(FilterError::UnknownQualifier { name: name.to_owned() });
            }
            _ => parsed.names.push(List::parse(expression, name_item)?),
        }
    }
    let services = crate::svc::table::all().map(|def| def.name);
    parsed.shown = services.filter(|name| parsed.names_show(name)).collect();
    Ok(Box::new(parsed))
}

/// A parsed filter.
#[derive(Default)]
pub struct Expression {
    names: Vec<List<NameItem>>,
    statuses: Vec<List<StatusItem>>,
    /// The declared services that the names show, so that a call costs one look-up.
    shown: BTreeSet<&'static str>,
}

impl Expression {
    fn names_show(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|list| list.shows(|item| item.is(name)))
    }
}

impl Filter for Expression {
    fn shows(&self, name: &str) -> bool {
        self.shown.contains(name) || self.names_show(name)
    }

    fn shows_status(&self, status: NtStatus) -> bool {
        self.statuses.is_empty()
            || self.statuses.iter().any(|list| list.shows(|item| item.is(status)))
    }
}

/// A list of items to show and of items to leave out.
struct List<T> {
    /// `None` shows everything that is not left out.
    shown: Option<Vec<T>>,
    left_out: Vec<T>,
}

impl<T> List<T> {
    fn parse(
        text: &str,
        parse_item: fn(&str) -> Result<T, FilterError>,
    ) -> Result<Self, FilterError> {
        let complement = text.starts_with('!');
        let mut list = List { shown: (!complement).then(Vec::new), left_out: Vec::new() };
        for item in split(text) {
            let (negated, item) = match item.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, item),
            };
            if item.is_empty() {
                return Err(FilterError::Empty { expression: text.to_owned() });
            }
            let item = parse_item(item)?;
            match &mut list.shown {
                Some(shown) if !negated => shown.push(item),
                _ => list.left_out.push(item),
            }
        }
        Ok(list)
    }

    fn shows(&self, is: impl Fn(&T) -> bool) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.iter().any(&is))
            && !self.left_out.iter().any(&is)
    }
}

/// Splits at commas that are not within slashes.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    text.split(move |c: char| {
        within ^= c == '/';
        c == ',' && !within
    })
}

/// What a name is matched with.
enum NameItem {
    Exact(String),
    Glob(String),
    Group(&'static Group),
    Regex(Regex),
}

impl NameItem {
    fn is(&self, name: &str) -> bool {
        match self {
            NameItem::Exact(exact) => exact == name,
            NameItem::Glob(pattern) => matches_glob(pattern, name),
            NameItem::Group(group) => group.contains(name),
            NameItem::Regex(regex) => regex.is_match(name),
        }
    }
}

fn name_item(text: &str) -> Result<NameItem, FilterError> {
    if let Some(name) = text.strip_prefix('%') {
        let group = GROUPS.iter().find(|group| group.name == name);
        let unknown = || FilterError::UnknownGroup { name: name.to_owned() };
        return group.map(NameItem::Group).ok_or_else(unknown);
    }
    if let Some(pattern) = text.strip_prefix('/').and_then(|text| text.strip_suffix('/')) {
        let bad = |reason| FilterError::BadRegex { pattern: pattern.to_owned(), reason };
        return Regex::new(pattern).map(NameItem::Regex).map_err(bad);
    }
    if let Some(name) = text.strip_prefix('?') {
        return Ok(NameItem::Exact(name.to_owned()));
    }
    if text == "all" {
        return Ok(NameItem::Glob("*".to_owned()));
    }
    if text.contains(['*', '?']) {
        return Ok(NameItem::Glob(text.to_owned()));
    }
    if crate::svc::table::all().any(|def| def.name == text) {
        return Ok(NameItem::Exact(text.to_owned()));
    }
    Err(FilterError::UnknownService { name: text.to_owned(), similar: similar(text) })
}

/// Declared services whose names look like a text: the same but for case or prefix, or a few letters away.
fn similar(text: &str) -> Vec<&'static str> {
    let wanted = text.to_ascii_lowercase();
    let bare = wanted.trim_start_matches("zw").trim_start_matches("nt");
    let mut found: Vec<(usize, &'static str)> = crate::svc::table::all()
        .filter_map(|def| {
            let name = def.name.to_ascii_lowercase();
            let distance = edit_distance(bare, name.trim_start_matches("nt"));
            (distance <= 2).then_some((distance, def.name))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).take(3).collect()
}

/// Letters to change, insert or remove to turn one text into another.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((to, above), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or(i + 1);
            let change = diagonal + usize::from(from != *to);
            next.push(change.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// What a status is matched with.
enum StatusItem {
    Success,
    Failed,
    Value(NtStatus),
    Glob(String),
}

impl StatusItem {
    fn is(&self, status: NtStatus) -> bool {
        match self {
            StatusItem::Success => status.is_success(),
            StatusItem::Failed => !status.is_success(),
            StatusItem::Value(value) => *value == status,
            StatusItem::Glob(pattern) => {
                status.name().is_some_and(|name| matches_glob(pattern, name))
            }
        }
    }
}

fn status_item(text: &str) -> Result<StatusItem, FilterError> {
    let unknown = || FilterError::UnknownStatus { name: text.to_owned() };
    match text {
        "success" | "successful" => return Ok(StatusItem::Success),
        "failed" | "failure" => return Ok(StatusItem::Failed),
        _ => {}
    }
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let value = u32::from_str_radix(digits, 16).map_err(|_| unknown())?;
        return Ok(StatusItem::Value(NtStatus(value)));
    }
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("STATUS_") { upper } else { format!("STATUS_{upper}") };
    if name.contains(['*', '?']) {
        return Ok(StatusItem::Glob(name));
    }
    NtStatus::from_name(&name).map(StatusItem::Value).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::status_table::*;

    fn filter(expressions: &[&str]) -> Box<dyn Filter> {
        let expressions: Vec<String> = expressions.iter().map(|text| (*text).to_owned()).collect();
        parse(&expressions).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(expression: &str) -> String {
        parse(&[expression.to_owned()]).err().expect("the expression is refused").to_string()
    }

    fn shows(filter: &dyn Filter, names: [&str; 4]) -> [bool; 4] {
        names.map(|name| filter.shows(name))
    }

    const NAMES: [&str; 4] = ["NtClose", "NtSetEvent", "NtOpenEvent", "NtQuerySystemTime"];

    #[test]
    fn names_globs_groups_and_expressions_choose_services() {
        assert_eq!(shows(&*filter(&[]), NAMES), [true; 4]);
        assert_eq!(shows(&*filter(&["trace=NtClose,NtSet*"]), NAMES), [true, true, false, false]);
        assert_eq!(shows(&*filter(&["%sync"]), NAMES), [false, true, true, false]);
        assert_eq!(shows(&*filter(&["/Open|Time$/"]), NAMES), [false, false, true, true]);
        assert_eq!(shows(&*filter(&["/^Nt.{3,4}Event$/"]), NAMES), [false, true, true, false]);
        assert_eq!(shows(&*filter(&["NtClose", "%time"]), NAMES), [true, false, false, true]);
        assert_eq!(shows(&*filter(&["?NtBrandNew"]), NAMES), [false; 4]);
    }

    #[test]
    fn negation_leaves_out() {
        assert_eq!(shows(&*filter(&["%sync,!NtSetEvent"]), NAMES), [false, false, true, false]);
        assert_eq!(shows(&*filter(&["trace=!NtClose,%time"]), NAMES), [false, true, true, false]);
    }

    #[test]
    fn statuses_choose_results() {
        let values = [STATUS_SUCCESS, STATUS_TIMEOUT, STATUS_ACCESS_DENIED, STATUS_NO_MORE_ENTRIES];
        let shows = |expression: &str| {
            let filter = filter(&[expression]);
            values.map(|status| filter.shows_status(status))
        };
        assert_eq!(shows("status=success"), [true, true, false, false]);
        assert_eq!(shows("status=failed"), [false, false, true, true]);
        assert_eq!(shows("status=!success,no_more_*"), [false, false, true, false]);
        assert_eq!(shows("status=ACCESS_DENIED,0x102"), [false, true, true, false]);
        assert_eq!(shows("NtClose"), [true; 4]);
    }

    #[test]
    fn errors_say_what_there_is() {
        assert_eq!(error("NtCloze"), "there is no service NtCloze; did you mean NtClose?");
        assert!(error("setevent").contains("NtSetEvent"));
        assert!(error("%fiel").starts_with("there is no group %fiel; there are %file, "));
        assert!(error("/(/").starts_with("/(/ is no regular expression"));
        assert_eq!(error("fault=x"), "there is no qualifier fault=; there are trace= and status=");
        assert!(error("status=STATUS_POODLE").starts_with("STATUS_POODLE is no status"));
        assert_eq!(error("NtClose,,NtSetEvent"), "an empty name in \"NtClose,,NtSetEvent\"");
    }
}
