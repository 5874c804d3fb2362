//! Runs a small static Linux program on the emulator, and compares its speed with the host's.
//!
//! `cpubench PROGRAM [ARGUMENT...]`: the program may use three system calls: clock_gettime, write and exit_group. With
//! `--native` it is run on the host as well, and the ratio of the times it prints (second number of its output) is
//! shown. It is built from the project's benchmark source with `gcc -O2 -DLINUX -nostdlib -static`.

use std::io::Write;
use std::time::Instant;

use cpu::{Clock, CpuState, Engine, Exit, Interpreter, reg};
use guest_mem::{GuestRam, PAGE_SIZE, PageTables, Pte, Va};

const STACK_TOP: u64 = 0x7FFF_F000_0000;
const STACK_PAGES: u64 = 64;

struct Ticks;

impl Clock for Ticks {
    fn tsc(&self, instructions: u64) -> u64 {
        instructions
    }
}

/// A process: memory, tables and an engine.
struct Guest {
    ram: GuestRam,
    tables: PageTables,
}

impl Guest {
    fn map(&self, va: u64) {
        if self.tables.entry(&self.ram, Va(va)).is_present() {
            return;
        }
        let pfn = self.ram.alloc_zeroed().expect("memory");
        let pte = Pte::new(pfn, Pte::WRITE | Pte::USER);
        self.tables.set_entry(&self.ram, Va(va), pte).expect("memory");
    }

    fn write(&self, va: u64, bytes: &[u8]) {
        for (index, &byte) in bytes.iter().enumerate() {
            let at = Va(va + index as u64);
            self.map(at.page().0);
            let pfn = self.tables.entry(&self.ram, at).pfn();
            self.ram.store(pfn.at(at.offset()), byte);
        }
    }

    fn read(&self, va: u64, len: u64) -> Vec<u8> {
        (va..va + len)
            .map(|va| {
                let pfn = self.tables.entry(&self.ram, Va(va)).pfn();
                self.ram.load(pfn.at(Va(va).offset()))
            })
            .collect()
    }
}

fn word(image: &[u8], at: u64, len: usize) -> u64 {
    let mut bytes = [0u8; 8];
    bytes[..len].copy_from_slice(&image[at as usize..at as usize + len]);
    u64::from_le_bytes(bytes)
}

/// Loads the segments of an ELF file and returns its entry point.
fn load(guest: &Guest, image: &[u8]) -> u64 {
    assert!(image.starts_with(b"\x7fELF\x02"), "a 64-bit ELF file is needed");
    let (headers, size, count) = (word(image, 32, 8), word(image, 54, 2), word(image, 56, 2));
    for index in 0..count {
        let at = headers + index * size;
        if word(image, at, 4) != 1 {
            continue;
        }
        let (offset, va) = (word(image, at + 8, 8), word(image, at + 16, 8));
        let (in_file, in_memory) = (word(image, at + 32, 8), word(image, at + 40, 8));
        for page in (Va(va).page().0..va + in_memory).step_by(PAGE_SIZE as usize) {
            guest.map(page);
        }
        guest.write(va, &image[offset as usize..(offset + in_file) as usize]);
    }
    word(image, 24, 8)
}

/// Puts the arguments on the stack as Linux does and returns RSP.
fn stack(guest: &Guest, arguments: &[String]) -> u64 {
    for page in 0..STACK_PAGES {
        guest.map(STACK_TOP - (page + 1) * PAGE_SIZE);
    }
    let mut at = STACK_TOP - 64;
    let mut pointers = vec![arguments.len() as u64];
    for argument in arguments {
        at -= argument.len() as u64 + 1;
        guest.write(at, argument.as_bytes());
        pointers.push(at);
    }
    pointers.extend([0, 0, 0, 0]);
    let rsp = (at - 8 * pointers.len() as u64) & !15;
    for (index, pointer) in pointers.iter().enumerate() {
        guest.write(rsp + 8 * index as u64, &pointer.to_le_bytes());
    }
    rsp
}

/// Nanoseconds that this thread has run: unlike the clock, this does not count other programs.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let native = arguments.first().is_some_and(|first| first == "--native");
    if native {
        arguments.remove(0);
    }
    let Some(program) = arguments.first() else {
        eprintln!("usage: cpubench [--native] PROGRAM [ARGUMENT...]");
        std::process::exit(2);
    };
    let image = std::fs::read(program).expect("the program");
    let ram = GuestRam::new(256 << 20).expect("memory");
    let tables = PageTables::new(&ram).expect("memory");
    let guest = Guest { ram, tables };
    let mut cpu = CpuState::user_mode();
    cpu.cr3 = guest.tables.root().at(0).0;
    cpu.rip = load(&guest, &image);
    cpu.gpr[reg::RSP] = stack(&guest, &arguments);
    let mut engine = Interpreter::new();
    let start = Instant::now();
    let before = processor_time();
    let mut output = Vec::new();
    loop {
        match engine.run(&mut cpu, &guest.ram, &Ticks, 1 << 32) {
            Exit::Fuel => {}
            Exit::Syscall => match cpu.gpr[reg::RAX] {
                228 => {
                    let now = start.elapsed();
                    guest.write(cpu.gpr[reg::RSI], &now.as_secs().to_le_bytes());
                    let nanoseconds = u64::from(now.subsec_nanos());
                    guest.write(cpu.gpr[reg::RSI] + 8, &nanoseconds.to_le_bytes());
                    cpu.gpr[reg::RAX] = 0;
                }
                1 => {
                    output.extend(guest.read(cpu.gpr[reg::RSI], cpu.gpr[reg::RDX]));
                    cpu.gpr[reg::RAX] = cpu.gpr[reg::RDX];
                }
                231 => break,
                number => panic!("system call {number}"),
            },
            exit => panic!("{exit:?} at {:x}, address {:x}", cpu.rip, cpu.cr2),
        }
    }
    let busy = (processor_time() - before) as f64 / 1e9;
    let text = String::from_utf8_lossy(&output).into_owned();
    let millions = engine.instructions() as f64 / 1e6;
    print!("{text}");
    println!("{millions:.1} million instructions, {:.0} MIPS", millions / busy);
    if native {
        let run = std::process::Command::new(program).args(&arguments[1..]).output().expect("run");
        let theirs = String::from_utf8_lossy(&run.stdout).into_owned();
        let time = |text: &str| text.split_whitespace().nth(1).and_then(|t| t.parse::<f64>().ok());
        let result = |text: &str| text.split_whitespace().next().map(str::to_owned);
        assert_eq!(result(&text), result(&theirs), "the results differ");
        if let (Some(ours), Some(theirs)) = (time(&text), time(&theirs)) {
            println!("{:.1} times the host's time", ours / theirs);
        }
    }
    std::io::stdout().flush().expect("output");
}
