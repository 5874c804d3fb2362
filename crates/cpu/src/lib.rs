//! The x86-64 processor: an emulator that caches decoded blocks, behind the engine trait.
//!
//! [`Engine`] is what the executive sees: [`CpuState`] in, [`Exit`] out. [`Interpreter`] implements it in safe Rust.
//!
//! - *Decoding* (`decode`). iced-x86 decodes once; each instruction becomes an operation of 40 bytes: a handler,
//!   operands as register-file indices, displacement and immediate. Handlers are generic functions, monomorphised over
//!   operation, width, operand kinds and effective-address form; CMP or TEST and the branch after it become one.
//!   Flags that are overwritten before anybody can see them are not computed (`decode::quiet`).
//! - *Execution* (`op`, `exec`). A handler calls the next operation's handler in tail position; at a branch taken, a
//!   fault, or the end of a block it returns a reason packed into one word. A handler tries the common case without any
//!   call; a TLB miss, a fault or an unusual operand makes it run a second time, out of line. Flags are lazy (`flags`).
//!   Rare instructions are executed from iced's decoded form (`exec::slow`), mode changes by the run loop
//!   (`exec::system`).
//! - *Blocks* (`cache`). A block has one entry, several exits, and lies in one page. Direct branches are links, resolved
//!   at first use; indirect ones go through a jump cache.
//! - *Memory* (`memory`, `tlb`). Software TLBs of 1024 entries each for reads and writes, one pair an address space and
//!   privilege, with [`guest_mem::walk`] behind them.
//!
//! Invariants: a block's frame is marked as code, and no write translation to such a frame is in a TLB, so every store
//! to decoded code is seen, also one to the block that runs. A faulting instruction changes nothing (a repeated string
//! instruction keeps its progress). The number of instructions retired at each exit is exact and deterministic. Blocks
//! are keyed by physical address, since frames are shared and re-used, and by virtual address, since RIP-relative
//! operands are made absolute.
//!
//! A worked path, "a store to the stack": `run::<Push<Reg1>>` computes the address, compares its page with the write
//! TLB's tag, stores through [`guest_mem::GuestRam`] and calls the next handler. On a miss `Core::translate` walks the
//! tables; if they refuse, it notes #PF, the address in CR2 and the operation's place, the handler returns "fault", and
//! [`Engine::run`] gives [`Exit::Exception`] with RIP at the PUSH.
//!
//! How it is checked: `cases/*.ins` and the oracle's random programs compare single instructions and short programs
//! with the host's processor, in 64-bit and in compatibility mode; `tests/engine.rs` has what that cannot see (faults
//! across pages, self-modifying code, single steps, fuel, address spaces).
//!
//! How fast it is: `examples/cpubench.rs` runs the project's five kernels in 20 to 33 times the host's time (Zen 5,
//! release build; geometric mean 25), 450 to 1000 million instructions a second. A page's worth of new code costs about
//! 150 ns an instruction once.
//!
//! Not modelled: alignment checks (#AC), hardware breakpoints, descriptor tables (NT's selectors are built in), SMAP,
//! SMEP, the interrupt shadow of MOV SS.

mod cache;
mod decode;
mod engine;
mod exec;
mod flags;
pub mod fp;
mod fxsave;
mod inspect;
mod interpreter;
mod memory;
mod op;
mod processor;
mod state;
mod tlb;

pub use engine::{Clock, Engine, Exit, vector};
pub use exec::cpuid::cpuid;
pub use inspect::{describe_unsupported, is_privileged_instruction};
pub use interpreter::Interpreter;
pub use state::{CpuState, Segment, flag, reg, seg_attr, selector, sreg};
