//! The long differential test: `--cases N` random cases, `--singles N` cases of each form, from `--seed S`, on
//! `--threads T`, of `--bits` 64 or 32, and `--only` the forms whose name has a word in it. Prints what differs, and fails if anything does.

use std::process::ExitCode;
use std::time::Instant;

use cpu_oracle::generate::Generator;
use cpu_oracle::hunt::{self, Findings};
use cpu_oracle::{EmulatedCpu, HostCpu, Mode, catalog};

struct Options {
    cases: u64,
    singles: usize,
    seed: u64,
    threads: u64,
    mode: Mode,
    only: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        cases: 10_000_000,
        singles: 0,
        seed: 1,
        threads: 1,
        mode: Mode::Long,
        only: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or(format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}"));
        match name.as_str() {
            "--cases" => options.cases = number()?,
            "--singles" => options.singles = number()? as usize,
            "--seed" => options.seed = number()?,
            "--threads" => options.threads = number()?.max(1),
            "--bits" => {
                options.mode = match number()? {
                    32 => Mode::Compatibility,
                    64 => Mode::Long,
                    _ => return Err("--bits is 32 or 64".to_owned()),
                };
            }
            "--only" => options.only = Some(value),
            _ => return Err(format!("{name} is not an option")),
        }
    }
    Ok(options)
}

fn work(options: &Options, thread: u64) -> std::io::Result<Findings> {
    let mut codes = catalog::generated(options.mode);
    if let Some(only) = &options.only {
        codes.retain(|code| format!("{code:?}").contains(only.as_str()));
    }
    let mut generator =
        Generator::new(options.seed.wrapping_add(thread << 32), options.mode, codes);
    let (mut host, mut emulated) = (HostCpu::start()?, EmulatedCpu::new());
    let mut findings =
        hunt::hunt_singles(&mut generator, &mut host, &mut emulated, options.singles)?;
    let start = Instant::now();
    let mut told = 0;
    let share =
        options.cases / options.threads + u64::from(thread < options.cases % options.threads);
    let random = hunt::hunt(&mut generator, &mut host, &mut emulated, share, |so_far| {
        let due = start.elapsed().as_secs() / 10;
        if due > told {
            told = due;
            let rate = so_far.cases as f64 / start.elapsed().as_secs_f64();
            eprintln!("thread {thread}: {} cases, {rate:.0} a second", so_far.cases);
        }
    })?;
    findings.merge(random);
    Ok(findings)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    println!("seed {}, {} threads", options.seed, options.threads);
    let start = Instant::now();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads)
            .map(|thread| {
                scope.spawn({
                    let options = &options;
                    move || work(options, thread)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut findings = Findings::default();
    for result in results {
        match result {
            Ok(Ok(found)) => findings.merge(found),
            Ok(Err(error)) => {
                eprintln!("the host cannot run cases: {error}");
                return ExitCode::from(2);
            }
            Err(_) => return ExitCode::from(2),
        }
    }
    print!("{findings}");
    println!("{:.1} s", start.elapsed().as_secs_f64());
    ExitCode::from(u8::from(findings.differing > 0))
}
