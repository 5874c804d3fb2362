//! The instruction tables of `cases/*.ins`: the emulator and the host must both give what each line says.

use std::path::Path;

use cpu_oracle::table::{self, Line};
use cpu_oracle::{BATCH, EmulatedCpu, HostCpu, Subject, layout};

fn lines() -> Vec<(String, Vec<Line>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ins") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            tables.push((
                name.clone(),
                table::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}")),
            ));
        }
    }
    assert!(!tables.is_empty(), "no tables found");
    tables
}

#[test]
fn the_emulator_gives_what_the_tables_say() {
    let mut emulated = EmulatedCpu::new();
    emulated.set_background(&[0; layout::SPACE]);
    let mut wrong = String::new();
    for (name, lines) in lines() {
        for line in lines {
            let message = line.check(&emulated.run(&line.case));
            if !message.is_empty() {
                wrong += &format!("{name} {message}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_host_gives_what_the_tables_say() {
    let mut host = HostCpu::start().unwrap();
    let mut wrong = String::new();
    for (name, lines) in lines() {
        for lines in lines.chunks(BATCH) {
            let cases: Vec<_> = lines.iter().map(|line| line.case).collect();
            for (line, outcome) in lines.iter().zip(host.run(&cases).unwrap()) {
                let message = line.check(&outcome);
                if !message.is_empty() {
                    wrong += &format!("{name} {message}\n");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
