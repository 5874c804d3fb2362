//! The engine from outside: faults, traps, self-modifying code, fuel, repeated strings, address spaces.
//!
//! Code is given as bytes with its assembly beside it.

use cpu::{Clock, CpuState, Engine, Exit, Interpreter, flag, reg, vector};
use guest_mem::{GuestRam, PAGE_SIZE, PageTables, Pfn, Pte, Va};

const CODE: u64 = 0x1_4000_0000;
const DATA: u64 = 0x2_0000;
const STACK: u64 = 0x10_0000;

struct Ticks;

impl Clock for Ticks {
    fn tsc(&self, instructions: u64) -> u64 {
        1000 + instructions
    }
}

struct Machine {
    ram: GuestRam,
    tables: PageTables,
    cpu: CpuState,
    engine: Interpreter,
}

impl Machine {
    fn new(code: &[u8]) -> Self {
        let ram = GuestRam::new(4 << 20).unwrap();
        let tables = PageTables::new(&ram).unwrap();
        let mut cpu = CpuState::user_mode();
        cpu.cr3 = tables.root().at(0).0;
        cpu.rip = CODE;
        cpu.gpr[reg::RSP] = STACK;
        let mut new = Self { ram, tables, cpu, engine: Interpreter::new() };
        for page in [CODE, CODE + PAGE_SIZE, DATA, DATA + PAGE_SIZE, STACK - PAGE_SIZE, STACK] {
            new.map(page, Pte::WRITE | Pte::USER);
        }
        new.write(CODE, code);
        new
    }

    fn map(&mut self, va: u64, bits: u64) -> Pfn {
        let pfn = self.ram.alloc_zeroed().unwrap();
        self.tables.set_entry(&self.ram, Va(va), Pte::new(pfn, bits)).unwrap();
        self.engine.invalidate_page(Va(va));
        pfn
    }

    fn unmap(&mut self, va: u64) {
        self.tables.set_entry(&self.ram, Va(va), Pte(0)).unwrap();
        self.engine.invalidate_page(Va(va));
    }

    fn write(&self, va: u64, bytes: &[u8]) {
        for (va, &byte) in (va..).zip(bytes) {
            let pfn = self.tables.entry(&self.ram, Va(va)).pfn();
            self.ram.store(pfn.at(Va(va).offset()), byte);
        }
    }

    fn read(&self, va: u64) -> u64 {
        let byte = |va: u64| {
            let pfn = self.tables.entry(&self.ram, Va(va)).pfn();
            self.ram.load::<u8>(pfn.at(Va(va).offset()))
        };
        u64::from_le_bytes(std::array::from_fn(|index| byte(va + index as u64)))
    }

    fn run(&mut self) -> Exit {
        self.engine.run(&mut self.cpu, &self.ram, &Ticks, 1_000_000)
    }
}

fn fault(vector: u8) -> Exit {
    Exit::Exception { vector, error_code: 0 }
}

#[test]
fn a_loop_runs_to_its_system_call() {
    // mov ecx,10; xor eax,eax; l: add eax,ecx; dec ecx; jnz l; syscall
    let mut m = Machine::new(&[
        0xB9, 10, 0, 0, 0, 0x31, 0xC0, 0x01, 0xC8, 0xFF, 0xC9, 0x75, 0xFA, 0x0F, 0x05,
    ]);
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RAX], 55);
    assert_eq!(m.cpu.rip, CODE + 15);
    assert_eq!(m.cpu.gpr[reg::RCX], CODE + 15);
    assert_eq!(m.cpu.gpr[reg::R11], m.cpu.rflags);
    assert_eq!(m.engine.instructions(), 2 + 30 + 1);
}

#[test]
fn fuel_ends_a_run_at_a_block_and_the_count_is_exact() {
    // l: inc rax; jmp l
    let mut m = Machine::new(&[0x48, 0xFF, 0xC0, 0xEB, 0xFB]);
    assert_eq!(m.engine.run(&mut m.cpu, &m.ram, &Ticks, 100), Exit::Fuel);
    assert_eq!(m.engine.instructions(), 100);
    assert_eq!(m.cpu.gpr[reg::RAX], 50);
    assert_eq!(m.cpu.rip, CODE);
}

#[test]
fn a_page_fault_leaves_the_state_before_the_instruction() {
    // inc rax; add [rbx+8],rax; syscall
    let mut m = Machine::new(&[0x48, 0xFF, 0xC0, 0x48, 0x01, 0x43, 0x08, 0x0F, 0x05]);
    m.cpu.gpr[reg::RBX] = 0x5_0000;
    assert_eq!(m.run(), Exit::Exception { vector: vector::PAGE_FAULT, error_code: 6 });
    assert_eq!((m.cpu.rip, m.cpu.cr2), (CODE + 3, 0x5_0008));
    assert_eq!(m.cpu.gpr[reg::RAX], 1);
    m.map(0x5_0000, Pte::WRITE | Pte::USER);
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.read(0x5_0008), 1);
}

#[test]
fn an_access_across_pages_reports_the_page_that_is_missing() {
    // mov [rbx],rax; syscall
    let mut m = Machine::new(&[0x48, 0x89, 0x03, 0x0F, 0x05]);
    m.cpu.gpr[reg::RAX] = u64::MAX;
    m.cpu.gpr[reg::RBX] = DATA + 2 * PAGE_SIZE - 3;
    assert_eq!(m.run(), Exit::Exception { vector: vector::PAGE_FAULT, error_code: 6 });
    assert_eq!(m.cpu.cr2, DATA + 2 * PAGE_SIZE);
    assert_eq!(m.read(DATA + 2 * PAGE_SIZE - 8), 0, "nothing may be written");
    m.map(DATA + 2 * PAGE_SIZE, Pte::WRITE | Pte::USER);
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.read(DATA + 2 * PAGE_SIZE - 3), u64::MAX);
}

#[test]
fn rights_of_pages_are_kept() {
    // mov al,[rbx]; mov [rbx],al
    let mut m = Machine::new(&[0x8A, 0x03, 0x88, 0x03]);
    m.map(0x5_0000, Pte::USER);
    m.cpu.gpr[reg::RBX] = 0x5_0000;
    assert_eq!(m.run(), Exit::Exception { vector: vector::PAGE_FAULT, error_code: 7 });
    assert_eq!(m.cpu.rip, CODE + 2);
    m.cpu.rip = 0x5_0000;
    m.map(0x5_0000, Pte::USER | Pte::NO_EXECUTE);
    assert_eq!(m.run(), Exit::Exception { vector: vector::PAGE_FAULT, error_code: 0x15 });
    assert_eq!((m.cpu.rip, m.cpu.cr2), (0x5_0000, 0x5_0000));
    m.map(0x6_0000, Pte::WRITE);
    m.cpu.rip = CODE;
    m.cpu.gpr[reg::RBX] = 0x6_0000;
    assert_eq!(m.run(), Exit::Exception { vector: vector::PAGE_FAULT, error_code: 5 });
}

#[test]
fn an_instruction_may_cross_pages() {
    // at the last byte of the first page: add eax,0x01020304; syscall
    let mut m = Machine::new(&[]);
    m.cpu.rip = CODE + PAGE_SIZE - 1;
    m.write(m.cpu.rip, &[0x05, 4, 3, 2, 1, 0x0F, 0x05]);
    let start = m.cpu.rip;
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RAX], 0x0102_0304);
    // Another frame in place of the second page: the instruction changes.
    m.map(CODE + PAGE_SIZE, Pte::WRITE | Pte::USER);
    m.write(CODE + PAGE_SIZE, &[1, 1, 1, 1, 0x0F, 0x05]);
    (m.cpu.rip, m.cpu.gpr[reg::RAX]) = (start, 0);
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RAX], 0x0101_0101);
    m.unmap(CODE + PAGE_SIZE);
    m.cpu.rip = start;
    assert_eq!(m.run(), Exit::Exception { vector: vector::PAGE_FAULT, error_code: 0x14 });
    assert_eq!((m.cpu.rip, m.cpu.cr2), (start, CODE + PAGE_SIZE));
}

#[test]
fn code_that_changes_itself_runs_as_changed() {
    // mov byte [rip+1],7 (the immediate of the next instruction); mov al,1; syscall
    let mut m = Machine::new(&[0xC6, 0x05, 0x01, 0, 0, 0, 7, 0xB0, 0x01, 0x0F, 0x05]);
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RAX] & 0xFF, 7);
    // From outside, between runs.
    m.write(CODE + 8, &[9]);
    m.write(CODE + 6, &[9]);
    m.cpu.rip = CODE;
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RAX] & 0xFF, 9);
}

#[test]
fn a_repeated_store_keeps_its_progress_when_it_faults() {
    // rep stosq; syscall
    let mut m = Machine::new(&[0xF3, 0x48, 0xAB, 0x0F, 0x05]);
    let start = DATA + 8;
    m.cpu.gpr[reg::RDI] = start;
    m.cpu.gpr[reg::RCX] = 2000;
    m.cpu.gpr[reg::RAX] = 0x1122_3344_5566_7788;
    assert_eq!(m.run(), Exit::Exception { vector: vector::PAGE_FAULT, error_code: 6 });
    let done = (2 * PAGE_SIZE - 8) / 8;
    assert_eq!(m.cpu.rip, CODE);
    assert_eq!(m.cpu.cr2, DATA + 2 * PAGE_SIZE);
    assert_eq!(m.cpu.gpr[reg::RDI], DATA + 2 * PAGE_SIZE);
    assert_eq!(m.cpu.gpr[reg::RCX], 2000 - done);
    assert_eq!(m.read(DATA + 2 * PAGE_SIZE - 8), 0x1122_3344_5566_7788);
    for page in 2..5 {
        m.map(DATA + page * PAGE_SIZE, Pte::WRITE | Pte::USER);
    }
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RDI], start + 16000);
    assert_eq!(m.read(start + 15992), 0x1122_3344_5566_7788);
    assert_eq!(m.read(start + 16000), 0);
}

#[test]
fn an_overlapping_repeated_move_repeats_its_pattern() {
    // rep movsb; syscall
    let mut m = Machine::new(&[0xF3, 0xA4, 0x0F, 0x05]);
    m.write(DATA, &[1, 2, 3]);
    m.cpu.gpr[reg::RSI] = DATA;
    m.cpu.gpr[reg::RDI] = DATA + 3;
    m.cpu.gpr[reg::RCX] = 13;
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.read(DATA + 8).to_le_bytes(), [3, 1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn repeated_comparisons_stop_at_the_first_difference() {
    // repe cmpsb; syscall
    let mut m = Machine::new(&[0xF3, 0xA6, 0x0F, 0x05]);
    m.write(DATA, b"abcdefgh");
    m.write(DATA + 0x100, b"abcdXfgh");
    m.cpu.gpr[reg::RSI] = DATA;
    m.cpu.gpr[reg::RDI] = DATA + 0x100;
    m.cpu.gpr[reg::RCX] = 8;
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RSI], DATA + 5);
    assert_eq!(m.cpu.rflags & flag::ZF, 0);
    // repne scasb; syscall
    let mut m = Machine::new(&[0xF2, 0xAE, 0x0F, 0x05]);
    m.write(DATA, b"hello\0");
    m.cpu.gpr[reg::RDI] = DATA;
    m.cpu.gpr[reg::RCX] = u64::MAX;
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RDI], DATA + 6);
}

#[test]
fn exceptions_have_their_vectors() {
    for (code, exit, rip) in [
        // div ecx by zero; ud2; hlt; int3; int 2Eh; cli; in al,dx; mov eax,cr0; lock on a register form
        (&[0xF7, 0xF1][..], fault(vector::DIVIDE), 0),
        (&[0x0F, 0x0B], fault(vector::INVALID_OPCODE), 0),
        (&[0xF4], fault(vector::PROTECTION), 0),
        (&[0xCC], Exit::Interrupt { vector: 3, len: 1 }, 1),
        (&[0xCD, 0x2E], Exit::Interrupt { vector: 0x2E, len: 2 }, 2),
        (&[0xF1], Exit::Interrupt { vector: 1, len: 1 }, 1),
        (&[0xFA], fault(vector::PROTECTION), 0),
        (&[0xEC], fault(vector::PROTECTION), 0),
        (&[0x0F, 0x20, 0xC0], fault(vector::PROTECTION), 0),
        (&[0xF0, 0x01, 0xC0], fault(vector::INVALID_OPCODE), 0),
        // movaps xmm0,[rbx+1]: misaligned
        (&[0x0F, 0x28, 0x43, 0x01], fault(vector::PROTECTION), 0),
        // vaddps: no AVX; xgetbv: no XSAVE
        (&[0xC5, 0xF8, 0x58, 0xC0], fault(vector::INVALID_OPCODE), 0),
        (&[0x0F, 0x01, 0xD0], fault(vector::INVALID_OPCODE), 0),
        // mov eax,[r15], non-canonical; push with a non-canonical stack is below
        (&[0x41, 0x8B, 0x07], fault(vector::PROTECTION), 0),
        (&[0x41, 0xFF, 0xE7], fault(vector::PROTECTION), 0),
    ] {
        let mut m = Machine::new(code);
        m.cpu.gpr[reg::RBX] = DATA;
        m.cpu.gpr[reg::R15] = 0x8000_0000_0000_0000;
        assert_eq!(m.run(), exit, "{code:x?}");
        assert_eq!(m.cpu.rip, CODE + rip, "{code:x?}");
    }
    let mut m = Machine::new(&[0x50]);
    m.cpu.gpr[reg::RSP] = 0x8000_0000_0000_0000;
    assert_eq!(m.run(), fault(vector::STACK));
}

#[test]
fn a_single_step_traps_after_each_instruction() {
    // nop; cmp eax,eax; je +0; syscall
    let mut m = Machine::new(&[0x90, 0x39, 0xC0, 0x74, 0x00, 0x0F, 0x05]);
    m.cpu.rflags |= flag::TF;
    for rip in [1, 3, 5] {
        assert_eq!(m.run(), fault(vector::DEBUG));
        assert_eq!(m.cpu.rip, CODE + rip);
        assert_eq!(m.cpu.dr[6] >> 14 & 1, 1);
    }
    m.cpu.rflags &= !flag::TF;
    assert_eq!(m.run(), Exit::Syscall);
    // pushfq; or dword [rsp],0x100; popfq; nop; nop: the trap comes after the first NOP.
    let mut m = Machine::new(&[0x9C, 0x81, 0x0C, 0x24, 0, 1, 0, 0, 0x9D, 0x90, 0x90]);
    assert_eq!(m.run(), fault(vector::DEBUG));
    assert_eq!(m.cpu.rip, CODE + 10);
}

#[test]
fn calls_return_and_indirect_jumps_arrive() {
    // call f; syscall; f: lea rax,[rip+3]; jmp rax; int3; g: mov ebx,5; ret
    let mut m = Machine::new(&[
        0xE8, 2, 0, 0, 0, 0x0F, 0x05, 0x48, 0x8D, 0x05, 3, 0, 0, 0, 0xFF, 0xE0, 0xCC, 0xBB, 5, 0,
        0, 0, 0xC3,
    ]);
    for _ in 0..3 {
        m.cpu.rip = CODE;
        assert_eq!(m.run(), Exit::Syscall);
        assert_eq!(m.cpu.gpr[reg::RBX], 5);
        assert_eq!(m.cpu.gpr[reg::RSP], STACK);
        assert_eq!(m.cpu.rip, CODE + 7);
    }
}

#[test]
fn another_address_space_has_its_own_code() {
    // mov eax,1; syscall
    let mut m = Machine::new(&[0xB8, 1, 0, 0, 0, 0x0F, 0x05]);
    let other = PageTables::new(&m.ram).unwrap();
    let pfn = m.ram.alloc_zeroed().unwrap();
    m.ram.write(pfn.at(0), &[0xB8, 2, 0, 0, 0, 0x0F, 0x05]);
    other.set_entry(&m.ram, Va(CODE), Pte::new(pfn, Pte::USER)).unwrap();
    let roots = [(m.tables.root(), 1), (other.root(), 2)];
    for _ in 0..3 {
        for (root, value) in roots {
            m.cpu.cr3 = root.at(0).0;
            m.cpu.rip = CODE;
            assert_eq!(m.run(), Exit::Syscall);
            assert_eq!(m.cpu.gpr[reg::RAX], value);
        }
    }
}

#[test]
fn gs_and_high_byte_registers_are_addressed() {
    // mov rax,gs:[0x30]; mov ah,[rax]; mov bh,ah; syscall
    let mut m = Machine::new(&[
        0x65, 0x48, 0x8B, 0x04, 0x25, 0x30, 0, 0, 0, 0x8A, 0x20, 0x88, 0xE7, 0x0F, 0x05,
    ]);
    m.cpu.seg[cpu::sreg::GS].base = DATA;
    m.write(DATA + 0x30, &(DATA + 0x40).to_le_bytes());
    m.write(DATA + 0x40, &[0x5A]);
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RAX], (DATA + 0x40) & !0xFF00 | 0x5A00);
    assert_eq!(m.cpu.gpr[reg::RBX], 0x5A00);
}

#[test]
fn locked_instructions_exchange_memory() {
    // lock xadd [rbx],rax; lock cmpxchg [rbx],rcx; xchg [rbx],rdx; lock inc dword [rbx+8]; syscall
    let mut m = Machine::new(&[
        0xF0, 0x48, 0x0F, 0xC1, 0x03, 0xF0, 0x48, 0x0F, 0xB1, 0x0B, 0x48, 0x87, 0x13, 0xF0, 0xFF,
        0x43, 0x08, 0x0F, 0x05,
    ]);
    m.write(DATA, &5u64.to_le_bytes());
    m.cpu.gpr[reg::RBX] = DATA;
    m.cpu.gpr[reg::RAX] = 0;
    m.cpu.gpr[reg::RCX] = 77;
    m.cpu.gpr[reg::RDX] = 99;
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RAX], 5, "xadd gave 5, and cmpxchg found it equal");
    assert_eq!(m.cpu.gpr[reg::RDX], 77);
    assert_eq!(m.read(DATA), 99);
    assert_eq!(m.read(DATA + 8), 1);
}

#[test]
fn the_time_stamp_counter_counts_instructions() {
    // nop; rdtsc; syscall
    let mut m = Machine::new(&[0x90, 0x0F, 0x31, 0x0F, 0x05]);
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.gpr[reg::RAX], 1001);
    assert_eq!(m.engine.instructions(), 3);
}

#[test]
fn kernel_code_returns_to_user_mode() {
    // iretq, to CODE + 0x100 at CPL 3: hlt is refused there.
    let mut m = Machine::new(&[0x48, 0xCF]);
    m.write(CODE + 0x100, &[0xF4]);
    let user = m.cpu.clone();
    let cr3 = m.cpu.cr3;
    m.cpu = CpuState::kernel_mode();
    (m.cpu.cr3, m.cpu.rip, m.cpu.gpr[reg::RSP]) = (cr3, CODE, STACK - 40);
    let frame = [CODE + 0x100, 0x33, flag::IF | 2, STACK, 0x2B];
    for (index, value) in frame.iter().enumerate() {
        m.write(STACK - 40 + 8 * index as u64, &value.to_le_bytes());
    }
    assert_eq!(m.run(), fault(vector::PROTECTION));
    assert_eq!((m.cpu.rip, m.cpu.cpl()), (CODE + 0x100, 3));
    assert_eq!(m.cpu.gpr[reg::RSP], STACK);
    assert_eq!(m.cpu.seg[cpu::sreg::CS], user.seg[cpu::sreg::CS]);
}

#[test]
fn a_link_to_an_instruction_across_pages_dies_with_either_page() {
    // In the first page: nop; in both: add dword [rbx],eax with a 32-bit displacement.
    // In the second: mov byte [rip+0],cl (its own next instruction's immediate); mov al,0; dec ecx; jnz first; syscall
    let start = CODE + PAGE_SIZE - 3;
    let mut m = Machine::new(&[]);
    m.write(start, &[0x90, 0x01, 0x83, 0x10, 0, 0, 0]);
    m.write(start + 7, &[0x88, 0x0D, 1, 0, 0, 0, 0xB0, 0, 0xFF, 0xC9, 0x75, 0xED, 0x0F, 0x05]);
    m.cpu.rip = start;
    m.cpu.gpr[reg::RBX] = DATA;
    m.cpu.gpr[reg::RCX] = 5;
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.rip, start + 21);
    // AL was 0, 5, 4, 3, 2 when it was added.
    assert_eq!(m.read(DATA + 0x10), 14);
}

#[test]
fn compatibility_mode_is_entered_and_left() {
    const LOW: u64 = 0x40_0000;
    let mut m = Machine::new(&[]);
    m.map(LOW, Pte::WRITE | Pte::USER);
    // 64-bit: jmp far [rip+0]; the pointer 0x23:LOW+0x20
    m.write(LOW, &[0xFF, 0x2D, 0, 0, 0, 0, 0x20, 0, 0x40, 0, 0x23, 0]);
    // 32-bit: push 7; call f; pop ecx; dec eax; mov edx,fs:[4]; pushad; popad; jmp far 0x33:LOW+0x60
    m.write(LOW + 0x20, &[0x6A, 7, 0xE8, 0x19, 0, 0, 0, 0x59, 0x48, 0x64, 0x8B, 0x15, 4, 0, 0, 0]);
    m.write(LOW + 0x30, &[0x60, 0x61, 0xEA, 0x60, 0, 0x40, 0, 0x33, 0]);
    // f: mov ebx,[esp]; lea esi,[eax+eax*4]; ret
    m.write(LOW + 0x40, &[0x8B, 0x1C, 0x24, 0x8D, 0x34, 0x80, 0xC3]);
    // 64-bit again: inc rdi; syscall
    m.write(LOW + 0x60, &[0x48, 0xFF, 0xC7, 0x0F, 0x05]);
    m.write(DATA + 4, &0x1234_5678u32.to_le_bytes());
    m.cpu.rip = LOW;
    m.cpu.gpr[reg::RAX] = 0x1_0000_0003;
    m.cpu.gpr[reg::RDI] = u64::MAX;
    m.cpu.seg[cpu::sreg::FS].base = DATA;
    assert_eq!(m.run(), Exit::Syscall);
    assert_eq!(m.cpu.rip, LOW + 0x65);
    assert_eq!(m.cpu.gpr[reg::RSP], STACK);
    assert_eq!(m.cpu.gpr[reg::RAX], 2);
    assert_eq!(m.cpu.gpr[reg::RBX], LOW + 0x27);
    assert_eq!(m.cpu.gpr[reg::RDX], 0x1234_5678);
    assert_eq!(m.cpu.gpr[reg::RSI], 15);
    assert_eq!(m.cpu.gpr[reg::RDI], 1 << 32, "POPAD cut it to 32 bits");
    assert_eq!(m.cpu.bitness(), 64);
}

#[test]
fn decimal_adjustments_work_in_32_bit_code() {
    let mut m = Machine::new(&[]);
    m.map(0x40_0000, Pte::WRITE | Pte::USER);
    let mut run = |code: &[u8], rax: u64, rflags: u64| {
        m.write(0x40_0000, code);
        m.write(0x40_0000 + code.len() as u64, &[0xCC]);
        m.cpu.seg[cpu::sreg::CS].attributes = cpu::seg_attr::CODE32_USER;
        m.cpu.rip = 0x40_0000;
        m.cpu.gpr[reg::RAX] = rax;
        m.cpu.rflags = 2 | rflags;
        let exit = m.run();
        (exit, m.cpu.gpr[reg::RAX], m.cpu.rflags & (flag::CF | flag::AF))
    };
    let breakpoint = Exit::Interrupt { vector: 3, len: 1 };
    let both = flag::CF | flag::AF;
    // daa; das; aaa; aas; aam; aad; aam by zero
    assert_eq!(run(&[0x27], 0x9B, 0), (breakpoint, 0x01, both));
    assert_eq!(run(&[0x27], 0x15, flag::AF), (breakpoint, 0x1B, flag::AF));
    assert_eq!(run(&[0x2F], 0x05, both), (breakpoint, 0x9F, both));
    assert_eq!(run(&[0x37], 0x0B, 0), (breakpoint, 0x101, both));
    assert_eq!(run(&[0x3F], 0x20E, 0), (breakpoint, 0x108, both));
    assert_eq!(run(&[0xD4, 10], 63, 0), (breakpoint, 0x603, 0));
    assert_eq!(run(&[0xD5, 10], 0x603, 0), (breakpoint, 63, 0));
    assert_eq!(run(&[0xD4, 0], 63, 0).0, fault(vector::DIVIDE));
}

/// A linear congruential generator: the same bytes in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        self.0.rotate_left(23) ^ (self.0 >> 17)
    }
}

/// No bytes, at any privilege or width, may panic the host.
#[test]
fn noise_never_panics() {
    let rounds = std::env::var("NOISE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3000);
    let mut noise = Noise(7);
    let mut m = Machine::new(&[]);
    m.map(0x40_0000, Pte::WRITE | Pte::USER);
    m.map(0x40_1000, Pte::WRITE | Pte::USER);
    let cr3 = m.cpu.cr3;
    let mut finished = 0;
    for round in 0..rounds {
        m.cpu = if round % 3 == 0 { CpuState::kernel_mode() } else { CpuState::user_mode() };
        m.cpu.cr3 = cr3;
        if round % 5 == 0 {
            let width = if round % 2 == 0 { cpu::seg_attr::BIG } else { 0 };
            m.cpu.seg[cpu::sreg::CS].attributes =
                cpu::seg_attr::CODE32_USER & !cpu::seg_attr::BIG | width;
        }
        for register in &mut m.cpu.gpr {
            *register = match noise.next() % 4 {
                0 => noise.next(),
                1 => DATA + noise.next() % 0x2000,
                2 => noise.next() % 64,
                _ => u64::MAX - noise.next() % 32,
            };
        }
        m.cpu.gpr[reg::RSP] = STACK + noise.next() % 0x400;
        m.cpu.rflags = 2 | (noise.next() & (flag::STATUS | flag::DF));
        m.cpu.mxcsr = noise.next() as u32 & 0xFFFF;
        m.cpu.rip = 0x40_0FC0 + noise.next() % 64;
        let mut code: Vec<u8> = (0..128).map(|_| noise.next() as u8).collect();
        // Two-byte opcodes and prefixes are rare in noise.
        for _ in 0..12 {
            let at = (noise.next() % 120) as usize;
            let lead = [0x0F, 0x66, 0xF2, 0xF3, 0x48, 0xF0, 0x67, 0xC4];
            code[at] = lead[(noise.next() % 8) as usize];
        }
        m.write(0x40_0FC0, &code);
        for _ in 0..20 {
            let exit = m.engine.run(&mut m.cpu, &m.ram, &Ticks, 2000);
            finished += 1;
            // Step over what faults.
            if matches!(exit, Exit::Exception { .. }) {
                m.cpu.rip = m.cpu.rip.wrapping_add(1);
            }
            m.cpu.cr3 = cr3;
        }
        assert_eq!(m.cpu.rflags & flag::RESERVED_1, flag::RESERVED_1);
    }
    assert_eq!(finished, 20 * rounds);
}
