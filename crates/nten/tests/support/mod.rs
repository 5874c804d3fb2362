//! What the integration tests share: [`Run`] starts the `nten` command with a time limit and collects what it did,
//! [`Scratch`] is a folder of one test's own, [`corpus`] downloads real programs, [`guest`] builds the programs of `tests/guest`,
//! [`terminal`] runs the command at a pseudo terminal.
//!
//! `NTEN_UNDER_TEST` names another `nten` to test, a release build for instance.

#![allow(dead_code, reason = "every test file uses a part")]

pub mod corpus;
pub mod guest;
pub mod terminal;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long one run may take; debug builds emulate slowly and the machine may be busy.
const TIME_LIMIT: Duration = Duration::from_secs(240);

/// The command under test.
pub fn nten() -> PathBuf {
    env::var_os("NTEN_UNDER_TEST").map_or_else(|| env!("CARGO_BIN_EXE_nten").into(), PathBuf::from)
}

/// A folder for the files of the tests, kept between runs.
pub fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// A folder of one test's own, removed at the end.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes an empty folder.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = cache().join("scratch").join(format!("{}-{count}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("make a scratch folder");
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it, with the folders it needs.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("make a folder");
        fs::write(&path, content).expect("write a file");
        path
    }

    /// Reads a file of it.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// One start of `nten run`.
pub struct Run {
    options: Vec<OsString>,
    words: Vec<OsString>,
    folder: Option<PathBuf>,
    input: Vec<u8>,
    limit: Duration,
}

/// What a run did.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub time: Duration,
}

impl Run {
    /// Runs a program.
    pub fn program(program: impl AsRef<OsStr>) -> Self {
        Self {
            options: Vec::new(),
            words: vec![program.as_ref().to_owned()],
            folder: None,
            input: Vec::new(),
            limit: TIME_LIMIT,
        }
    }

    /// Gives the program arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.words.extend(arguments.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Gives `nten run` options.
    pub fn options<S: AsRef<OsStr>>(mut self, options: impl IntoIterator<Item = S>) -> Self {
        self.options.extend(options.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Starts in a folder.
    pub fn within(mut self, scratch: &Scratch) -> Self {
        self.folder = Some(scratch.path().to_owned());
        self
    }

    /// Gives the program standard input; without, there is none.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Runs to the end.
    pub fn go(self) -> Outcome {
        let mut command = Command::new(nten());
        command.arg("run").args(&self.options).args(&self.words);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        finish(command, self.input, self.limit)
    }
}

/// Runs a command to its end, or kills it at the limit, which fails the test.
pub fn finish(mut command: Command, input: Vec<u8>, limit: Duration) -> Outcome {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = child.stdout.take().expect("piped");
    let mut stderr = child.stderr.take().expect("piped");
    // A program that does not read its input closes the pipe: that is no failure.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let out = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        bytes
    });
    let err = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for the command") {
            break status;
        }
        if start.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            let stdout = out.join().expect("reader");
            panic!(
                "{command:?} ran longer than {limit:?}\n{}\n{}",
                String::from_utf8_lossy(&stdout),
                err.join().expect("reader")
            );
        }
        thread::sleep(Duration::from_millis(2));
    };
    writer.join().expect("writer");
    Outcome {
        status: status.code().unwrap_or(-1),
        stdout: out.join().expect("reader"),
        stderr: err.join().expect("reader"),
        time: start.elapsed(),
    }
}

impl Outcome {
    /// Standard output as text, with Windows line ends made plain.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).replace("\r\n", "\n")
    }

    /// Demands an exit status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.text(), self.stderr);
        self
    }

    /// Demands this standard output, to the letter but for line ends.
    #[track_caller]
    pub fn prints(self, expected: &str) -> Self {
        let text = self.text();
        if text != expected {
            let first = text.lines().zip(expected.lines()).position(|(a, b)| a != b);
            let line = first.unwrap_or_else(|| text.lines().count().min(expected.lines().count()));
            panic!(
                "line {} differs:\n  got      {:?}\n  expected {:?}\n\nstdout:\n{text}\nstderr:\n{}",
                line + 1,
                text.lines().nth(line),
                expected.lines().nth(line),
                self.stderr
            );
        }
        self
    }

    /// Demands a text in standard output.
    #[track_caller]
    pub fn contains(self, expected: &str) -> Self {
        let text = self.text();
        assert!(text.contains(expected), "no {expected:?} in\n{text}\nstderr:\n{}", self.stderr);
        self
    }

    /// Demands a text in standard error.
    #[track_caller]
    pub fn complains(self, expected: &str) -> Self {
        assert!(self.stderr.contains(expected), "no {expected:?} in\n{}", self.stderr);
        self
    }

    /// Demands that nten had nothing to say: no missing service, no warning.
    #[track_caller]
    pub fn quietly(self) -> Self {
        let words: Vec<&str> =
            self.stderr.lines().filter(|line| line.starts_with("nten:")).collect();
        assert!(words.is_empty(), "nten said {words:#?}");
        self
    }
}
