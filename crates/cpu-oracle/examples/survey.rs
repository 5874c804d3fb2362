//! Shows what the host does with generated cases: per form how many finish and which faults the others raise.

use std::collections::BTreeMap;

use cpu_oracle::{Ending, HostCpu, Mode, catalog, generate::Generator};

fn main() -> std::io::Result<()> {
    let mut generator = Generator::new(1, Mode::Long, catalog::generated(Mode::Long));
    let mut host = HostCpu::start()?;
    host.set_background(&generator.background());
    let mut total: BTreeMap<String, u64> = BTreeMap::new();
    for code in generator.codes().to_vec() {
        let made: Vec<_> = (0..200).filter_map(|_| generator.single(code)).collect();
        let cases: Vec<_> = made.iter().map(|made| made.case).collect();
        let mut endings: BTreeMap<String, u64> = BTreeMap::new();
        for outcome in host.run(&cases)? {
            let name = match outcome.ending() {
                Ending::Fault { vector, .. } => format!("#{vector}"),
                other => format!("{other:?}"),
            };
            *endings.entry(name.clone()).or_default() += 1;
            *total.entry(name).or_default() += 1;
        }
        println!("{code:?}: {endings:?}");
    }
    println!("{total:?}");
    let start = std::time::Instant::now();
    let mut count = 0;
    let mut generating = std::time::Duration::ZERO;
    let mut endings: BTreeMap<String, u64> = BTreeMap::new();
    while start.elapsed().as_secs() < 5 {
        let before = std::time::Instant::now();
        let cases: Vec<_> = (0..512).map(|_| generator.case().case).collect();
        generating += before.elapsed();
        for outcome in host.run(&cases)? {
            let name = match outcome.ending() {
                Ending::Fault { vector, .. } => format!("#{vector}"),
                other => format!("{other:?}"),
            };
            *endings.entry(name).or_default() += 1;
        }
        count += 512;
    }
    println!(
        "{count} cases, {} crashes, generating took {generating:?} of 5 s: {endings:?}",
        host.crashes()
    );
    Ok(())
}
