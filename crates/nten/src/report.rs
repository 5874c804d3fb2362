//! The form of an error: [`Report`], printed as `nten: error:` with a `cause:` and a `help:` line.

use userland::UserlandError;

use crate::exit::Status;

/// An error for the user: what failed, why, what to do, and the exit status it ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The exit status.
    pub status: Status,
    /// What failed.
    pub message: String,
    /// Why.
    pub cause: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Report {
    /// An error of nten's own.
    pub fn new(message: impl Into<String>) -> Self {
        Self { status: Status::Own, message: message.into(), cause: None, help: None }
    }

    /// Ends with another exit status.
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Adds why.
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Prints the report on standard error.
    pub fn print(&self) {
        anstream::eprint!("{}", self.text());
    }

    fn text(&self) -> String {
        let mut text = format!("nten: error: {}\n", self.message);
        for (label, line) in [("cause", &self.cause), ("help", &self.help)] {
            if let Some(line) = line {
                text.push_str(&format!("nten: {label}: {line}\n"));
            }
        }
        text
    }
}

impl From<UserlandError> for Report {
    fn from(error: UserlandError) -> Self {
        Self {
            status: Status::Own,
            message: error.to_string(),
            cause: error.cause(),
            help: error.help(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_only_what_is_known() {
        assert_eq!(Report::new("it broke").text(), "nten: error: it broke\n");
        let report = Report::new("it broke").cause("it is old").help("get a new one");
        let expected = "nten: error: it broke\nnten: cause: it is old\nnten: help: get a new one\n";
        assert_eq!(report.text(), expected);
    }
}
