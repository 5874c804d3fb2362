//! The emulator against the host's processor: random instruction sequences, and every form alone.
//!
//! `cargo run --release -p nten-cpu-oracle --example long -- --cases 10000000` is the same at length.
//! Needs an x86-64 Linux host; the seed is fixed, and `NTEN_SEED` sets another.

use cpu_oracle::generate::Generator;
use cpu_oracle::{EmulatedCpu, Ending, HostCpu, Mode, Subject, catalog, hunt, layout};
use iced_x86::Code;

fn seed() -> u64 {
    std::env::var("NTEN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

fn random_sequences(mode: Mode) {
    let mut generator = Generator::new(seed(), mode, catalog::generated(mode));
    let (mut host, mut emulated) = (HostCpu::start().unwrap(), EmulatedCpu::new());
    let found = hunt::hunt(&mut generator, &mut host, &mut emulated, 100_000, |_| ()).unwrap();
    assert_eq!(found.differing, 0, "seed {}: {found}", seed());
    assert_eq!(found.cases, 100_000);
}

fn every_form(mode: Mode) {
    let mut generator = Generator::new(seed() ^ 0x5EED, mode, catalog::generated(mode));
    let (mut host, mut emulated) = (HostCpu::start().unwrap(), EmulatedCpu::new());
    let found = hunt::hunt_singles(&mut generator, &mut host, &mut emulated, 20).unwrap();
    assert_eq!(found.differing, 0, "seed {}: {found}", seed());
    for code in generator.codes() {
        assert!(found.forms.contains_key(code), "{code:?} is generated but was never made");
    }
}

#[test]
fn random_sequences_agree_with_the_host() {
    random_sequences(Mode::Long);
}

#[test]
fn every_form_alone_agrees_with_the_host() {
    every_form(Mode::Long);
}

#[test]
fn random_sequences_of_32_bit_code_agree_with_the_host() {
    random_sequences(Mode::Compatibility);
}

#[test]
fn every_form_of_32_bit_code_alone_agrees_with_the_host() {
    every_form(Mode::Compatibility);
}

#[test]
fn what_is_executed_is_compared_or_has_a_reason() {
    let mut emulated = EmulatedCpu::new();
    emulated.set_background(&[0; layout::SPACE]);
    let (mut made_any, mut wrong) = (0, Vec::new());
    for code in Code::values()
        .filter(|&code| catalog::exclusion(code, Mode::Long) == Some(catalog::NOT_IN_V2))
    {
        let mut generator = Generator::new(seed(), Mode::Long, vec![code]);
        for made in (0..5).filter_map(|_| generator.single(code)) {
            made_any += 1;
            let outcome = emulated.run(&made.case);
            let hint = outcome.ending() == Ending::Finished
                && outcome.state.gpr == made.case.state.gpr
                && outcome.state.fx[160..416] == made.case.state.fx[160..416];
            let refused = matches!(outcome.ending(), Ending::Fault { vector: 6 | 13, .. });
            if !(hint || refused) {
                wrong.push(code);
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "these do something that nothing compares: {wrong:?}");
    assert!(made_any > 500, "{made_any}");
}
