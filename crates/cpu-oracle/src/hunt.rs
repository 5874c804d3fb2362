//! Runs generated cases on the host and on a subject, and explains where they differ.
//!
//! Key types: [`Subject`], [`hunt`], [`Findings`]. A sequence that differs is run again as growing prefixes, so that
//! the first instruction that differs is named, then alone from the state the host had before it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use iced_x86::{Code, Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

use crate::case::{Case, Mode, Outcome, State};
use crate::compare::{self, Difference, differences};
use crate::generate::Generator;
use crate::generated::Generated;
use crate::host::HostCpu;
use crate::layout;
use crate::program::Program;
use crate::ring::BATCH;

/// Batches between two changes of what lies in memory.
const BATCHES_PER_BACKGROUND: u64 = 64;

/// An engine that is compared with the host.
pub trait Subject {
    /// Sets what memory holds before a case's own bytes.
    fn set_background(&mut self, background: &[u8]);
    /// Runs a case.
    ///
    /// A subject that panics would end the hunt; the emulator must not, whatever it is given.
    fn run(&mut self, case: &Case) -> Outcome;
}

/// One kind of disagreement, with its first example.
#[derive(Clone)]
pub struct Finding {
    /// How many cases showed it.
    pub count: u64,
    /// An example, as small as it could be made.
    pub example: Example,
}

/// A case that the two sides end differently.
#[derive(Clone)]
pub struct Example {
    /// The case.
    pub made: Generated,
    /// What the host gave.
    pub host: Outcome,
    /// What the subject gave.
    pub subject: Outcome,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// What a hunt found.
#[derive(Default)]
pub struct Findings {
    /// Cases run.
    pub cases: u64,
    /// Cases that differ.
    pub differing: u64,
    /// Cases that the host ended otherwise when they were run again.
    pub unstable: u64,
    /// Runner processes that died.
    pub crashes: u64,
    /// Cases per form of their instructions.
    pub forms: BTreeMap<Code, u64>,
    /// Disagreements by instruction form and what differs.
    pub found: BTreeMap<String, Finding>,
}

impl Findings {
    /// Takes in what another hunt found.
    pub fn merge(&mut self, other: Findings) {
        self.cases += other.cases;
        self.differing += other.differing;
        self.unstable += other.unstable;
        self.crashes += other.crashes;
        for (code, count) in other.forms {
            *self.forms.entry(code).or_default() += count;
        }
        for (kind, finding) in other.found {
            self.found
                .entry(kind)
                .and_modify(|known| known.count += finding.count)
                .or_insert(finding);
        }
    }
}

/// Runs `count` cases from the generator; `progress` is told the number so far after each batch.
pub fn hunt(
    generator: &mut Generator,
    host: &mut HostCpu,
    subject: &mut dyn Subject,
    count: u64,
    mut progress: impl FnMut(&Findings),
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    let mut batches = 0u64;
    while findings.cases < count {
        if batches.is_multiple_of(BATCHES_PER_BACKGROUND) {
            let background = generator.background();
            host.set_background(&background);
            subject.set_background(&background);
        }
        batches += 1;
        let size = (count - findings.cases).min(BATCH as u64) as usize;
        let made: Vec<_> = (0..size).map(|_| generator.case()).collect();
        run_batch(&made, host, subject, &mut findings)?;
        progress(&findings);
    }
    findings.crashes = host.crashes();
    Ok(findings)
}

/// Runs `each` single-instruction cases of every form of the generator.
pub fn hunt_singles(
    generator: &mut Generator,
    host: &mut HostCpu,
    subject: &mut dyn Subject,
    each: usize,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    let background = generator.background();
    host.set_background(&background);
    subject.set_background(&background);
    let mut made = Vec::with_capacity(BATCH);
    for code in generator.codes().to_vec() {
        for _ in 0..each {
            made.extend(generator.single(code));
            if made.len() == BATCH {
                run_batch(&made, host, subject, &mut findings)?;
                made.clear();
            }
        }
    }
    run_batch(&made, host, subject, &mut findings)?;
    findings.crashes = host.crashes();
    Ok(findings)
}

fn run_batch(
    made: &[Generated],
    host: &mut HostCpu,
    subject: &mut dyn Subject,
    findings: &mut Findings,
) -> io::Result<()> {
    let cases: Vec<_> = made.iter().map(|made| made.case).collect();
    // The runner works on the batch while the subject does.
    let pending = host.submit(&cases);
    let theirs: Vec<_> = cases.iter().map(|case| subject.run(case)).collect();
    let ours = pending.collect()?;
    for ((made, host_outcome), subject_outcome) in made.iter().zip(&ours).zip(&theirs) {
        findings.cases += 1;
        for code in made.codes() {
            *findings.forms.entry(code).or_default() += 1;
        }
        let differences = differences(made, host_outcome, subject_outcome);
        if differences.is_empty() {
            continue;
        }
        // The host's kernel or hypervisor may have interfered: DS, for one, is lost now and then in 32-bit code.
        let again = host.run_one(&made.case)?;
        if compare::differences(made, &again, subject_outcome).is_empty() {
            findings.unstable += 1;
            continue;
        }
        findings.differing += 1;
        let whole = Example {
            made: made.clone(),
            host: *host_outcome,
            subject: *subject_outcome,
            differences,
        };
        let example = shrink(whole, host, subject)?;
        findings
            .found
            .entry(example.kind())
            .and_modify(|finding| finding.count += 1)
            .or_insert(Finding { count: 1, example });
    }
    Ok(())
}

/// Makes a disagreement as small as possible.
fn shrink(whole: Example, host: &mut HostCpu, subject: &mut dyn Subject) -> io::Result<Example> {
    let Some(program) = &whole.made.program else { return Ok(whole) };
    let steps = program.steps.len();
    if steps <= 1 {
        return Ok(whole);
    }
    let mut before = None;
    for count in 1..=steps {
        let Some(code) = program.assemble(count) else { return Ok(whole) };
        let mut prefix =
            Program { mode: program.mode, ip: program.ip, steps: program.steps[..count].to_vec() };
        for step in &mut prefix.steps {
            step.target = step.target.map(|target| target.min(count));
        }
        let made = whole.made.with_program(prefix, whole.made.case.state, &code);
        let Some(example) = disagreement(&made, host, subject)? else {
            before = Some(host.run_one(&made.case)?);
            continue;
        };
        if let Some(before) = &before
            && let Some(alone) = alone(program, count - 1, before, &whole.made)
            && let Some(alone) = disagreement(&alone, host, subject)?
        {
            return Ok(alone);
        }
        return Ok(example);
    }
    Ok(whole)
}

fn disagreement(
    made: &Generated,
    host: &mut HostCpu,
    subject: &mut dyn Subject,
) -> io::Result<Option<Example>> {
    let ours = host.run_one(&made.case)?;
    let theirs = subject.run(&made.case);
    let differences = differences(made, &ours, &theirs);
    Ok((!differences.is_empty()).then(|| Example {
        made: made.clone(),
        host: ours,
        subject: theirs,
        differences,
    }))
}

const TRAP_FLAG: u64 = 1 << 8;

/// One instruction of a program as a case of its own, from what the host had before it.
fn alone(program: &Program, step: usize, before: &Outcome, whole: &Generated) -> Option<Generated> {
    if before.state.rflags & TRAP_FLAG != 0 {
        // No case can start with single steps on: the runner would step first.
        return None;
    }
    let mut step = *program.steps.get(step)?;
    step.target = step.target.map(|_| 1);
    let program = Program { mode: program.mode, ip: program.ip, steps: vec![step] };
    let code = program.assemble_all()?;
    let state = State { rip: program.ip, ..before.state };
    let mut made = whole.with_program(program, state, &code);
    made.case.poke_count = 0;
    for change in before.changes() {
        if !made.case.poke(change.offset as usize, change.value) {
            return None;
        }
    }
    Some(made)
}

impl Example {
    /// What kind of disagreement this is: the form, and the names of what differs.
    pub fn kind(&self) -> String {
        let code = match self.made.codes().last() {
            Some(code) => format!("{code:?}"),
            None => "invalid".to_owned(),
        };
        let mut names: Vec<_> = self.differences.iter().map(|d| d.what).collect();
        if names.iter().any(|name| name.starts_with('r') && *name != "rip") {
            names.retain(|name| !name.starts_with('r') || *name == "rip");
            names.push("registers");
        }
        names.dedup();
        format!("{code}: {}", names.join(", "))
    }
}

/// The instructions of machine code at an address, one per line.
pub fn disassemble(mode: Mode, code: &[u8], ip: u64) -> Vec<(Vec<u8>, Instruction, String)> {
    let mut formatter = IntelFormatter::new();
    let mut decoder = Decoder::with_ip(mode.bits(), code, ip, DecoderOptions::NONE);
    let mut lines = Vec::new();
    while decoder.can_decode() {
        let start = decoder.position();
        let instruction = decoder.decode();
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        let bytes = code.get(start..decoder.position()).unwrap_or_default().to_vec();
        lines.push((bytes, instruction, text));
    }
    lines
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = &self.made.case;
        let state = &case.state;
        for (bytes, instruction, text) in disassemble(case.mode(), case.body(), state.rip) {
            let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(
                f,
                "  {:#x}  {bytes:<22} {text}    ({:?})",
                instruction.ip(),
                instruction.code()
            )?;
        }
        let g = &state.gpr;
        writeln!(
            f,
            "  rax={:x} rcx={:x} rdx={:x} rbx={:x} rsp={:x} rbp={:x} rsi={:x} rdi={:x}",
            g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]
        )?;
        writeln!(
            f,
            "  r8={:x} r9={:x} r10={:x} r11={:x} r12={:x} r13={:x} r14={:x} r15={:x} flags={:x} fs={:x} gs={:x}",
            g[8],
            g[9],
            g[10],
            g[11],
            g[12],
            g[13],
            g[14],
            g[15],
            state.rflags,
            state.fs_base,
            state.gs_base
        )?;
        let used = self.made.vector_registers();
        for n in (0..16).filter(|n| used.0 & (1 << n) != 0) {
            writeln!(f, "  xmm{n}={:#034x}", state.xmm(n))?;
        }
        if used.0 != 0 {
            writeln!(f, "  mxcsr={:#x}", state.mxcsr())?;
        }
        if used.1 {
            write!(f, "  fcw={:#x} fsw={:#x} ftw={:#x}", state.fcw(), state.fsw(), state.ftw())?;
            for n in 0..8 {
                let (significand, exponent) = state.st(n);
                write!(f, " st{n}={exponent:04x}:{significand:016x}")?;
            }
            writeln!(f)?;
        }
        for poke in case.pokes() {
            writeln!(
                f,
                "  [{:#x}]={:#018x}",
                layout::address_of(poke.offset as usize),
                poke.value
            )?;
        }
        writeln!(f, "  host {:x?}, got {:x?}", self.host.ending(), self.subject.ending())?;
        for difference in &self.differences {
            writeln!(f, "  -> {}: {}", difference.what, difference.detail)?;
        }
        Ok(())
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cases, {} forms, {} differ in {} ways; {} unstable on the host, {} runner crashes",
            self.cases,
            self.forms.len(),
            self.differing,
            self.found.len(),
            self.unstable,
            self.crashes
        )?;
        let mut order: Vec<_> = self.found.iter().collect();
        order.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.count));
        for (kind, finding) in order {
            writeln!(f, "{kind} ({} times)", finding.count)?;
            write!(f, "{}", finding.example)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    /// The host compared with itself, with an error of its own when wanted.
    struct Mirror {
        host: HostCpu,
        breaks: bool,
    }

    impl Subject for Mirror {
        fn set_background(&mut self, background: &[u8]) {
            self.host.set_background(background);
        }

        fn run(&mut self, case: &Case) -> Outcome {
            let mut outcome = self.host.run_one(case).unwrap();
            let adds = disassemble(case.mode(), case.body(), case.state.rip)
                .iter()
                .any(|(_, instruction, _)| instruction.mnemonic() == iced_x86::Mnemonic::Add);
            if self.breaks && adds {
                outcome.state.rflags ^= 1;
            }
            outcome
        }
    }

    #[test]
    fn the_host_agrees_with_itself() {
        let mut generator = Generator::new(3, Mode::Long, catalog::generated(Mode::Long));
        let mut mirror = Mirror { host: HostCpu::start().unwrap(), breaks: false };
        let mut host = HostCpu::start().unwrap();
        let findings = hunt(&mut generator, &mut host, &mut mirror, 2000, |_| ()).unwrap();
        assert_eq!((findings.cases, findings.differing), (2000, 0), "{findings}");
    }

    #[test]
    fn a_wrong_flag_is_found_and_blamed_on_its_instruction() {
        let mut generator = Generator::new(4, Mode::Long, catalog::generated(Mode::Long));
        let mut mirror = Mirror { host: HostCpu::start().unwrap(), breaks: true };
        let mut host = HostCpu::start().unwrap();
        let findings = hunt(&mut generator, &mut host, &mut mirror, 2000, |_| ()).unwrap();
        assert!(findings.differing > 0);
        for (kind, finding) in &findings.found {
            assert!(kind.starts_with("Add") && kind.ends_with(": flags"), "{kind}");
            assert_eq!(finding.example.made.codes().len(), 1, "{}", finding.example);
        }
    }
}
