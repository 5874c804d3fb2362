//! The emulator as a [`Subject`]: the same memory layout in guest frames, the same registers, the same endings.
//!
//! Key type: [`EmulatedCpu`]. A finished case is one that executes the jump at [`layout::EXIT`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use cpu::{Clock, CpuState, Engine, Exit, Interpreter, Segment, seg_attr, selector};
use guest_mem::{GuestRam, PageTables, Pfn, Pte, Va};

use crate::case::{Case, Ending, MAX_CHANGES, Mode, Outcome, State};
use crate::hunt::Subject;
use crate::layout::{self, CODE, CODE_LEN, EXIT, FILLER, PAGE, READ_ONLY, SPACE, STACK};
use crate::trampoline::{self, exit_address};

/// Instructions after which a case is given up.
const FUEL: u64 = 200_000;
/// Indices of CS, FS and GS in [`CpuState::seg`].
const CS: usize = 1;
const FS: usize = 4;
const GS: usize = 5;

struct NoClock;

impl Clock for NoClock {
    fn tsc(&self, instructions: u64) -> u64 {
        instructions
    }
}

/// The emulator with a case's memory.
pub struct EmulatedCpu {
    engine: Interpreter,
    ram: GuestRam,
    /// The frames of data A, data B, the read-only page and the stack.
    space: [Pfn; SPACE / PAGE as usize],
    code: [Pfn; (CODE_LEN / PAGE) as usize],
    template: CpuState,
    background: Vec<u8>,
    memory: Vec<u8>,
}

impl EmulatedCpu {
    /// Makes an emulator whose memory is all zeros.
    ///
    /// # Panics
    /// If the host has no memory for it.
    pub fn new() -> Self {
        let ram = GuestRam::new(1 << 20).expect("a megabyte of guest memory");
        let tables = PageTables::new(&ram).expect("a frame for the page table");
        let page = |address: u64, bits: u64| {
            let pfn = ram.alloc_zeroed().expect("a frame");
            tables
                .set_entry(&ram, Va(address), Pte::new(pfn, bits | Pte::USER))
                .expect("frames for page tables");
            pfn
        };
        let data = Pte::WRITE | Pte::NO_EXECUTE;
        let space = [
            page(layout::DATA, data),
            page(layout::DATA + PAGE, data),
            page(READ_ONLY, Pte::NO_EXECUTE),
            page(STACK, data),
        ];
        let code = std::array::from_fn(|n| page(CODE + n as u64 * PAGE, Pte::WRITE));
        let exit = page(EXIT, 0);
        for pfn in code {
            ram.fill(pfn.at(0), PAGE as usize, FILLER);
        }
        // The same bytes as on the host, since a case may read them.
        ram.write(exit.at(0), &trampoline::exit_page());
        let mut template = CpuState::user_mode();
        template.cr3 = tables.root().at(0).0;
        // The selectors that a 64-bit process has on the host.
        for n in [FS, GS] {
            template.seg[n] = Segment { selector: 0, ..template.seg[n] };
        }
        Self {
            engine: Interpreter::new(),
            ram,
            space,
            code,
            template,
            background: vec![0; SPACE],
            memory: vec![0; SPACE],
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        for (n, &byte) in bytes.iter().enumerate() {
            let at = offset + n;
            if let Some(pfn) = self.space.get(at / PAGE as usize) {
                self.ram.write(pfn.at(at as u64 % PAGE), &[byte]);
            }
        }
    }

    fn write_code(&self, rip: u64, bytes: impl Iterator<Item = u8>) {
        for (n, byte) in bytes.enumerate() {
            let at = rip.wrapping_sub(CODE).wrapping_add(n as u64);
            if let Some(pfn) = self.code.get((at / PAGE) as usize) {
                self.ram.write(pfn.at(at % PAGE), &[byte]);
            }
        }
    }

    fn load(&self, state: &State, mode: Mode) -> Option<CpuState> {
        let mut cpu = self.template.clone();
        cpu.gpr = state.gpr;
        cpu.rip = state.rip;
        cpu.rflags = state.rflags;
        if mode == Mode::Compatibility {
            cpu.seg[CS] = Segment::flat(selector::USER_CODE32, seg_attr::CODE32_USER);
        }
        cpu.seg[FS].base = state.fs_base;
        cpu.seg[GS].base = state.gs_base;
        // Refused only for reserved bits of MXCSR, which no case starts with.
        cpu.read_fxsave(&state.fx).then_some(cpu)
    }
}

impl Default for EmulatedCpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Subject for EmulatedCpu {
    fn set_background(&mut self, background: &[u8]) {
        self.background.copy_from_slice(background);
        for (pfn, page) in self.space.iter().zip(background.chunks_exact(PAGE as usize)) {
            self.ram.write(pfn.at(0), page);
        }
    }

    fn run(&mut self, case: &Case) -> Outcome {
        let mut outcome = Outcome::none();
        let Some(mut cpu) = self.load(&case.state, case.mode()) else {
            outcome.set_ending(Ending::Unsupported);
            return outcome;
        };
        for poke in case.pokes() {
            self.write(poke.offset as usize, &poke.value.to_le_bytes());
        }
        self.write_code(case.state.rip, case.code().iter().copied());
        // A panic of the emulator is a finding like any other.
        let run = AssertUnwindSafe(|| self.engine.run(&mut cpu, &self.ram, &NoClock, FUEL));
        let exit = catch_unwind(run).ok();
        if exit.is_none() {
            self.engine = Interpreter::new();
        }

        outcome.state = State {
            fx: cpu.write_fxsave(),
            gpr: cpu.gpr,
            rip: cpu.rip,
            rflags: cpu.rflags,
            fs_base: cpu.seg[FS].base,
            gs_base: cpu.seg[GS].base,
        };
        let fault = |vector, error_code| Ending::Fault {
            vector,
            error_code,
            address: if vector == 14 { cpu.cr2 } else { 0 },
        };
        let ending = match exit {
            // The jump on the exit page leads to where only the host has code.
            Some(Exit::Exception { vector: 13 | 14, .. }) if cpu.rip == exit_address() => {
                outcome.state.rip = case.mode().exit();
                Ending::Finished
            }
            Some(Exit::Interrupt { vector, .. }) => fault(vector, 0),
            Some(Exit::Exception { vector, error_code }) => fault(vector, error_code),
            Some(Exit::Syscall | Exit::Sysenter) => Ending::SystemCall,
            Some(Exit::Fuel) => Ending::Timeout,
            Some(_) => Ending::Unsupported,
            None => Ending::Crashed,
        };
        outcome.set_ending(ending);

        for (pfn, page) in self.space.iter().zip(self.memory.chunks_exact_mut(PAGE as usize)) {
            self.ram.read(pfn.at(0), page);
        }
        outcome.record_changes(&self.memory, &self.background);
        if outcome.change_count > MAX_CHANGES as u64 {
            for (pfn, page) in self.space.iter().zip(self.background.chunks_exact(PAGE as usize)) {
                self.ram.write(pfn.at(0), page);
            }
        } else {
            let changed = outcome.changes().iter().chain(case.pokes()).map(|poke| poke.offset);
            for offset in changed.map(|offset| offset as usize) {
                if let Some(bytes) = self.background.get(offset..offset + 8) {
                    self.write(offset, bytes);
                }
            }
        }
        if case.rewrites_code == 0 {
            self.write_code(case.state.rip, case.code().iter().map(|_| FILLER));
        } else {
            for pfn in self.code {
                self.ram.fill(pfn.at(0), PAGE as usize, FILLER);
            }
        }
        outcome
    }
}
