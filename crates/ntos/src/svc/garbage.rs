//! Every service survives garbage: random and hostile arguments give a status, never a panic.
//!
//! This is a small fuzzer over the declarations. It is deterministic; `NTEN_GARBAGE_ROUNDS` makes it longer and
//! `NTEN_GARBAGE_SEED` different.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};

use crate::svc::table::{self, Handler};
use crate::svc::{ArgTrace, Handle, RawArgs, ServiceDef};
use crate::testing::{DATA, TestMachine};

/// Calls of each service in an ordinary run.
const ROUNDS: u64 = 100;

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A value of the kinds that break things: handles, pointers that work, pointers that do not, lengths, extremes.
    fn argument(&mut self) -> u64 {
        match self.below(12) {
            0 => 0,
            1 => u64::MAX - self.below(8),
            2 => 4 * self.below(12),
            3 | 4 => DATA + 8 * self.below(0x200),
            5 => DATA + 0xFFF - self.below(24),
            6 => self.below(130),
            7 => 1 << self.below(64),
            8 => 0x7FFF_FFFF_0000 - self.below(64),
            9 => self.next() & 0xFFFF_FFFF,
            10 => 0xFFFF_8000_0000_0000 | self.next(),
            _ => self.next(),
        }
    }
}

/// A machine with a few handles of different types and a page of plausible rubbish.
fn machine(random: &mut Random) -> TestMachine {
    let machine = TestMachine::new();
    machine.new_thread();
    machine.with(|cx| {
        let event = crate::ex::event::create_event(cx.k, 0, false).unwrap();
        let semaphore = crate::ex::event::create_semaphore(cx.k, 1, 2).unwrap();
        let mutant = crate::ex::event::create_mutant(cx.k, None).unwrap();
        let timer = crate::ex::timer::create_timer(cx.k, 8).unwrap();
        let directory = cx.k.ob.root.clone();
        let (process, thread) = (cx.process().clone(), cx.thread.clone());
        let token = cx.process().token.open().clone();
        cx.open_handle(&event, u32::MAX >> 4, 0).unwrap();
        cx.open_handle(&semaphore, u32::MAX >> 4, 0).unwrap();
        cx.open_handle(&mutant, u32::MAX >> 4, 0).unwrap();
        cx.open_handle(&timer, u32::MAX >> 4, 0).unwrap();
        cx.open_handle(&directory, abi::ob::GENERIC_ALL, 0).unwrap();
        cx.open_handle(&process, abi::ob::GENERIC_ALL, 0).unwrap();
        cx.open_handle(&thread, abi::ob::GENERIC_ALL, 0).unwrap();
        cx.open_handle(&token, abi::ob::GENERIC_ALL, 0).unwrap();
    });
    for slot in 0..0x200 {
        let value = random.argument();
        machine.put(8 * slot, &value);
    }
    // Some attributes that a create or open call can take.
    for (offset, root) in [(0x100, 0), (0x400, 0x14)] {
        let name = if root == 0 { "\\Rubbish" } else { "Rubbish" };
        machine.attributes(offset, Handle(root), name, (random.next() & 0x1FF2) as u32);
    }
    machine
}

fn call(def: &'static ServiceDef, machine: &TestMachine, raw: &RawArgs) {
    let describe = |result| {
        machine.with(|cx| {
            let mut trace = ArgTrace { cx, out: Vec::new(), result };
            (def.describe)(&mut trace, raw);
        });
    };
    describe(None);
    match def.handler {
        Handler::Sync(service) => {
            let status = machine.with(|cx| service(cx, raw));
            describe(Some(status));
        }
        Handler::Async(start) => {
            let mut future = start(machine.cx(&machine.thread), raw.clone());
            let mut context = Context::from_waker(Waker::noop());
            // Twice: as after a wake-up that brought nothing.
            if future.as_mut().poll(&mut context).is_pending() {
                let _ = future.as_mut().poll(&mut context).is_pending();
            }
        }
    }
}

#[test]
fn no_service_panics() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("NTEN_GARBAGE_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("NTEN_GARBAGE_SEED").unwrap_or(1);
    let mut random = Random(0x6E74_656E_0000_0000 | seed);
    let mut failures = Vec::new();
    for def in table::all() {
        let mut machine = machine(&mut random);
        for round in 0..rounds {
            if round % 50 == 49 || machine.thread.is_terminating() {
                machine = self::machine(&mut random);
            }
            let raw = RawArgs((0..def.slots).map(|_| random.argument()).collect());
            let outcome = catch_unwind(AssertUnwindSafe(|| call(def, &machine, &raw)));
            if outcome.is_err() {
                failures.push(format!("{} {:x?} ({})", def.name, raw.0, def.source));
                // What a panic left open must not fail the next machine.
                std::mem::forget(std::mem::replace(&mut machine, self::machine(&mut random)));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "panicked:\n{}", failures.join("\n"));
}
