//! Instruction cases as text: one line each, `bytes | disassembly | inputs => outputs`.
//!
//! Key types: [`Line`], [`parse`]. The lines of `crates/cpu/cases/*.ins` are this; both the emulator and the host must
//! give what they say. Example: `48 01 c8 | add rax,rcx | rax=ffffffffffffffff rcx=1 => rax=0 flags=CPAZ`.
//!
//! Items are `name=value` in hexadecimal: a register (`rax`, `xmm3`, `mxcsr`, `fcw`, `fsw`, `ftw`, `fs`, `gs`), an x87
//! register `st0=exponent:significand`, eight bytes of memory `[address]=value`, the status flags as letters
//! `flags=CPAZSO` and `D`, `-` for none. The input `rip` says where the code lies, and the word `rewrites` that it
//! changes itself. What is not given as input is as in [`State::new`], with memory zero. What is not given as output
//! must not change, except flags named in `undefined=`. The output `fault=vector:error code:address` says that the
//! instruction faults, and `rip` behind it where, if not at the start.

use std::fmt;

use crate::case::{Case, Ending, Outcome, State};
use crate::hunt::disassemble;
use crate::layout;

/// One line of a table.
#[derive(Clone)]
pub struct Line {
    /// Where the line is, for messages.
    pub number: usize,
    /// The disassembly as the line gives it.
    pub text: String,
    /// What runs.
    pub case: Case,
    /// What must come out.
    pub expected: Expected,
}

/// What a line says of the end.
#[derive(Clone, PartialEq, Eq)]
pub struct Expected {
    state: State,
    ending: Ending,
    memory: Vec<(u64, u64)>,
    /// Flags that are not compared.
    undefined: u64,
}

const FLAGS: [(char, u64); 7] = [
    ('C', 1),
    ('P', 1 << 2),
    ('A', 1 << 4),
    ('Z', 1 << 6),
    ('S', 1 << 7),
    ('O', 1 << 11),
    ('D', 1 << 10),
];
const FLAG_MASK: u64 = 0xCD5;

const GPR: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// Reads a table; empty lines and lines that start with `#` are left out.
pub fn parse(table: &str) -> Result<Vec<Line>, String> {
    let lines = table.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            parse_line(number, line).map_err(|error| format!("line {number}: {error}: {line}"))
        })
        .collect()
}

fn parse_line(number: usize, line: &str) -> Result<Line, String> {
    let mut parts = line.splitn(3, '|').map(str::trim);
    let (Some(bytes), Some(text), Some(items)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("three parts are needed".to_owned());
    };
    let (inputs, outputs) = items.split_once("=>").ok_or("no =>")?;
    let case = parse_case(bytes, inputs)?;
    let mut expected = Expected {
        state: State { rip: layout::EXIT, ..case.state },
        ending: Ending::Finished,
        memory: case.pokes().iter().map(|poke| (poke.offset, poke.value)).collect(),
        undefined: 0,
    };
    for item in outputs.split_whitespace() {
        let (name, value) = item.split_once('=').ok_or(format!("{item} is not name=value"))?;
        match name {
            "undefined" => expected.undefined = flags(value)?,
            "fault" => {
                let mut numbers = value.split(':').map(|n| u64::from_str_radix(n, 16));
                let mut next = || numbers.next().and_then(Result::ok).ok_or("bad fault");
                expected.ending = Ending::Fault {
                    vector: next()? as u8,
                    error_code: next()? as u32,
                    address: next()?,
                };
                expected.state.rip = case.state.rip;
            }
            _ => {
                if let Some((offset, value)) = set(&mut expected.state, name, value)? {
                    expected.memory.retain(|&(at, _)| at != offset);
                    expected.memory.push((offset, value));
                }
            }
        }
    }
    // Memory starts as zeros, so a word that becomes zero is no change.
    expected.memory.retain(|&(_, value)| value != 0);
    expected.memory.sort_unstable();
    Ok(Line { number, text: text.to_owned(), case, expected })
}

/// Makes a case of bytes in hexadecimal and input items.
pub fn parse_case(bytes: &str, inputs: &str) -> Result<Case, String> {
    let code = bytes
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).map_err(|error| format!("{byte}: {error}")))
        .collect::<Result<Vec<_>, _>>()?;
    let mut state = State::new();
    let mut memory = Vec::new();
    let mut rewrites_code = false;
    for item in inputs.split_whitespace() {
        if item == "rewrites" {
            rewrites_code = true;
            continue;
        }
        let (name, value) = item.split_once('=').ok_or(format!("{item} is not name=value"))?;
        memory.extend(set(&mut state, name, value)?);
    }
    let mut case = Case::new(state, &code);
    case.rewrites_code = rewrites_code.into();
    for (offset, value) in memory {
        if !case.poke(offset as usize, value) {
            return Err("too much memory".to_owned());
        }
    }
    Ok(case)
}

/// Sets one item; memory is given back as offset and value.
fn set(state: &mut State, name: &str, value: &str) -> Result<Option<(u64, u64)>, String> {
    let number = |text: &str| {
        u128::from_str_radix(text, 16).map_err(|error| format!("{name}={text}: {error}"))
    };
    if let Some(n) = GPR.iter().position(|gpr| *gpr == name) {
        state.gpr[n] = number(value)? as u64;
    } else if let Some(n) = index(name, "xmm") {
        state.set_xmm(n, number(value)?);
    } else if let Some(n) = index(name, "st") {
        let (exponent, significand) = value.split_once(':').ok_or("exponent:significand")?;
        state.set_st(n, (number(significand)? as u64, number(exponent)? as u16));
    } else if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        let offset = layout::offset_of(number(address)? as u64).ok_or("not the case's memory")?;
        if !offset.is_multiple_of(8) {
            return Err("memory is given in aligned words".to_owned());
        }
        return Ok(Some((offset as u64, number(value)? as u64)));
    } else {
        match name {
            "flags" => state.rflags = (state.rflags & !FLAG_MASK) | flags(value)?,
            "mxcsr" => state.set_mxcsr(number(value)? as u32),
            "fcw" => state.set_fcw(number(value)? as u16),
            "fsw" => state.set_fsw(number(value)? as u16),
            "ftw" => state.set_ftw(number(value)? as u8),
            "fs" => state.fs_base = number(value)? as u64,
            "gs" => state.gs_base = number(value)? as u64,
            "rip" => state.rip = number(value)? as u64,
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(None)
}

fn index(name: &str, prefix: &str) -> Option<usize> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// Reads flag letters as a mask of RFLAGS.
pub fn flags(letters: &str) -> Result<u64, String> {
    if letters == "-" {
        return Ok(0);
    }
    letters.chars().try_fold(0, |all, letter| {
        let found = FLAGS.iter().find(|(known, _)| *known == letter);
        found.map(|(_, bit)| all | bit).ok_or(format!("{letter} is not a flag"))
    })
}

fn letters(flags: u64) -> String {
    let all: String = FLAGS.iter().filter(|(_, bit)| flags & bit != 0).map(|(c, _)| *c).collect();
    if all.is_empty() { "-".to_owned() } else { all }
}

impl Line {
    /// What an outcome has otherwise than the line says; empty if nothing.
    pub fn check(&self, outcome: &Outcome) -> String {
        let expected = &self.expected;
        let told: Vec<_> = outcome.changes().iter().map(|c| (c.offset, c.value)).collect();
        let mut masked = outcome.state;
        let mask = FLAG_MASK & !expected.undefined;
        masked.rflags = (masked.rflags & mask) | (expected.state.rflags & !mask);
        if expected.ending == outcome.ending()
            && told == expected.memory
            && outputs(&expected.state, &masked).is_empty()
            && expected.state.rip == masked.rip
        {
            return String::new();
        }
        format!(
            "line {}: {}: got{} {:?}",
            self.number,
            self.text,
            items(&self.case, outcome, expected.undefined),
            outcome.ending()
        )
    }
}

/// The items by which a state differs from another.
fn outputs(before: &State, after: &State) -> String {
    use fmt::Write as _;
    let mut text = String::new();
    for (n, name) in GPR.iter().enumerate() {
        if before.gpr[n] != after.gpr[n] {
            let _ = write!(text, " {name}={:x}", after.gpr[n]);
        }
    }
    for n in (0..16).filter(|&n| before.xmm(n) != after.xmm(n)) {
        let _ = write!(text, " xmm{n}={:x}", after.xmm(n));
    }
    for n in (0..8).filter(|&n| before.st(n) != after.st(n)) {
        let (significand, exponent) = after.st(n);
        let _ = write!(text, " st{n}={exponent:x}:{significand:x}");
    }
    let words = [
        ("mxcsr", u64::from(before.mxcsr()), u64::from(after.mxcsr())),
        ("fcw", before.fcw().into(), after.fcw().into()),
        ("fsw", before.fsw().into(), after.fsw().into()),
        ("ftw", before.ftw().into(), after.ftw().into()),
        ("fs", before.fs_base, after.fs_base),
        ("gs", before.gs_base, after.gs_base),
    ];
    for (name, _, after) in words.iter().filter(|(_, before, after)| before != after) {
        let _ = write!(text, " {name}={after:x}");
    }
    if (before.rflags ^ after.rflags) & FLAG_MASK != 0 {
        let _ = write!(text, " flags={}", letters(after.rflags));
    }
    text
}

/// The output items of an outcome.
fn items(case: &Case, outcome: &Outcome, undefined: u64) -> String {
    use fmt::Write as _;
    let mut after = outcome.state;
    after.rflags = (after.rflags & !undefined) | (case.state.rflags & undefined);
    let mut text = outputs(&case.state, &after);
    for change in outcome.changes() {
        if case.pokes().iter().any(|p| (p.offset, p.value) == (change.offset, change.value)) {
            continue;
        }
        let _ =
            write!(text, " [{:x}]={:x}", layout::address_of(change.offset as usize), change.value);
    }
    if undefined != 0 {
        let _ = write!(text, " undefined={}", letters(undefined));
    }
    if let Ending::Fault { vector, error_code, address } = outcome.ending() {
        let _ = write!(text, " fault={vector:x}:{error_code:x}:{address:x}");
        if after.rip != case.state.rip {
            let _ = write!(text, " rip={:x}", after.rip);
        }
    }
    text
}

/// Writes the line for a case and what it gave; `undefined` is a mask of RFLAGS.
pub fn record(inputs: &str, case: &Case, outcome: &Outcome, undefined: u64) -> String {
    let bytes: Vec<_> = case.body().iter().map(|byte| format!("{byte:02x}")).collect();
    let text: Vec<_> = disassemble(case.mode(), case.body(), case.state.rip)
        .into_iter()
        .map(|(_, _, text)| text)
        .collect();
    format!(
        "{} | {} | {} =>{}",
        bytes.join(" "),
        text.join("; "),
        inputs.trim(),
        items(case, outcome, undefined)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostCpu;

    #[test]
    fn the_host_gives_what_a_line_says_and_not_what_it_does_not() {
        let table = "# sum\n\
            48 01 c8 | add rax,rcx | rax=ffffffffffffffff rcx=1 => rax=0 flags=CPAZ\n\
            89 0f | mov [rdi],ecx | rdi=10001004 rcx=5 => [10001000]=500000000\n\
            89 0f | mov [rdi],ecx | rdi=10000ffe => fault=e:6:10000ffe\n\
            48 01 c8 | add rax,rcx | rax=1 rcx=1 => rax=3\n\
            48 01 c8 | add rax,rcx | rax=1 rcx=1 => rax=2 flags=C\n";
        let lines = parse(table).unwrap();
        let mut host = HostCpu::start().unwrap();
        let cases: Vec<_> = lines.iter().map(|line| line.case).collect();
        let outcomes = host.run(&cases).unwrap();
        let wrong: Vec<_> = lines.iter().zip(&outcomes).map(|(l, o)| l.check(o)).collect();
        assert_eq!(wrong[..3], [String::new(), String::new(), String::new()]);
        assert!(wrong[3].contains("rax=2") && wrong[4].starts_with("line 6"), "{wrong:?}");
    }

    #[test]
    fn a_recorded_line_reads_back() {
        let inputs = "rax=80 rcx=4 xmm1=1234 [10001000]=7";
        let case = parse_case("d3 e0", inputs).unwrap();
        let outcome = HostCpu::start().unwrap().run_one(&case).unwrap();
        let line = record(inputs, &case, &outcome, 0x810);
        assert!(line.starts_with("d3 e0 | shl eax,cl | rax=80"), "{line}");
        let lines = parse(&line).unwrap();
        assert_eq!(lines[0].check(&outcome), "");
    }
}
