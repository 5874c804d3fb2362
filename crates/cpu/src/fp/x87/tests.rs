//! Tests of the unit through its instructions.

use iced_x86::{Code, CpuidFeature, EncodingKind};

use super::*;
use crate::fp::soft::{QUIET, TOP};

/// A unit with values pushed, the last one in ST0.
fn with(values: &[F80]) -> Fpu {
    let mut fpu = Fpu::new();
    for &value in values {
        fpu.push(value);
    }
    fpu
}

fn number(x: f64) -> F80 {
    let mut fpu = Fpu::new();
    run_with(&mut fpu, Code::Fld_m64fp, 0, &x.to_le_bytes());
    fpu.regs[fpu.physical(0)]
}

/// Runs an instruction; gives the bytes it stored.
fn run_with(fpu: &mut Fpu, code: Code, sti: u8, memory: &[u8]) -> Vec<u8> {
    let mut out = [0; MAX_STORE];
    let input = Input { sti, memory, ..Input::default() };
    let op = x87_lookup(code).expect("an x87 instruction");
    let effect = fpu.execute(op, &input, &mut out).expect("no exception pending");
    out[..effect.stored].to_vec()
}

fn run(fpu: &mut Fpu, code: Code) -> Vec<u8> {
    run_with(fpu, code, 1, &[])
}

/// ST0 after running an instruction on some values.
fn result(values: &[F80], code: Code) -> F80 {
    let mut fpu = with(values);
    run(&mut fpu, code);
    fpu.st(0).expect("a result")
}

fn as_f64(fpu: &mut Fpu) -> f64 {
    let bytes = run(fpu, Code::Fstp_m64fp);
    f64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

#[test]
fn every_instruction_is_decoded_or_obsolete() {
    use Code::*;
    let obsolete = [Feni, Fdisi, Fsetpm, Frstpm, Fstdw_AX, Fstsg_AX, Fnstdw_AX, Fnstsg_AX];
    let missing: Vec<_> = Code::values()
        .filter(|code| {
            let features = code.cpuid_features();
            features.iter().any(|f| {
                matches!(f, CpuidFeature::FPU | CpuidFeature::FPU287 | CpuidFeature::FPU387)
            }) && code.encoding() == EncodingKind::Legacy
                && x87_lookup(*code).is_none()
                && !obsolete.contains(code)
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn precision_control_narrows_arithmetic_but_not_scaling() {
    for (control, sig) in
        [(0x37F, 0xAAAA_AAAA_AAAA_AAAB), (0x27F, 0xAAAA_AAAA_AAAA_A800), (0x07F, 0x00AA_AAAB << 40)]
    {
        let mut fpu = with(&[number(3.0), F80::ONE]);
        fpu.set_control_word(control);
        run(&mut fpu, Code::Fdiv_st0_sti);
        assert_eq!(fpu.st(0).map(|v| v.mantissa), Some(sig), "{control:x}");
        assert_eq!(fpu.status & 0x3F, 0x20);
    }
    let mut fpu = with(&[number(1.0), F80 { mantissa: u64::MAX, sign_exponent: 0x3FFF }]);
    fpu.set_control_word(0x07F);
    run(&mut fpu, Code::Fscale);
    assert_eq!(fpu.st(0), Some(F80 { mantissa: u64::MAX, sign_exponent: 0x4000 }));
}

#[test]
fn rounding_up_shows_in_c1() {
    let mut fpu = with(&[number(3.0), F80::ONE]);
    run(&mut fpu, Code::Fdiv_st0_sti);
    assert_eq!(fpu.status & C1, C1);
    fpu.set_control_word(0xF7F);
    run(&mut fpu, Code::Fld1);
    run_with(&mut fpu, Code::Fdiv_st0_sti, 2, &[]);
    assert_eq!(fpu.status & C1, 0);
}

#[test]
fn reversed_and_popping_forms() {
    let values = [number(10.0), number(4.0)];
    let cases = [
        (Code::Fsubp_sti_st0, 6.0),
        (Code::Fsubrp_sti_st0, -6.0),
        (Code::Fdivp_sti_st0, 2.5),
        (Code::Fdivrp_sti_st0, 0.4),
        (Code::Fmulp_sti_st0, 40.0),
    ];
    for (code, expected) in cases {
        let mut fpu = with(&values);
        run(&mut fpu, code);
        assert_eq!(fpu.top, 7, "{code:?}");
        assert_eq!(as_f64(&mut fpu), expected, "{code:?}");
    }
}

#[test]
fn integers_and_decimals_load_and_store() {
    let mut fpu = Fpu::new();
    run_with(&mut fpu, Code::Fild_m64int, 0, &(-1_234_567_890_123_456_789i64).to_le_bytes());
    run_with(&mut fpu, Code::Fld_sti, 0, &[]);
    let stored = run(&mut fpu, Code::Fistp_m64int);
    assert_eq!(stored, (-1_234_567_890_123_456_789i64).to_le_bytes());
    // Nineteen digits are too many.
    assert_eq!(run(&mut fpu, Code::Fbstp_m80bcd), [0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF]);
    assert_eq!(fpu.status & 1, 1);
    let decimal = [0x21, 0x43, 0x65, 0x87, 0x09, 0, 0, 0, 0, 0x80];
    run_with(&mut fpu, Code::Fbld_m80bcd, 0, &decimal);
    assert_eq!(run(&mut fpu, Code::Fbstp_m80bcd), decimal);
}

#[test]
fn stores_round_or_truncate_and_report_overflow() {
    let mut fpu = with(&[number(-2.5)]);
    assert_eq!(run(&mut fpu, Code::Fist_m32int), (-2i32).to_le_bytes());
    assert_eq!(run(&mut fpu, Code::Fisttp_m16int), (-2i16).to_le_bytes());
    let mut fpu = with(&[number(40000.0)]);
    assert_eq!(run(&mut fpu, Code::Fistp_m16int), 0x8000u16.to_le_bytes());
    assert_eq!(fpu.status & 0x3F, 1);
    let mut fpu = with(&[number(1e300)]);
    assert_eq!(run(&mut fpu, Code::Fstp_m32fp), f32::INFINITY.to_le_bytes());
    assert_eq!(fpu.status & 0x3F, 0x28);
}

#[test]
fn an_unmasked_overflow_stores_nothing_and_pops_nothing() {
    let mut fpu = with(&[number(1e300)]);
    fpu.set_control_word(0x37F & !8);
    assert!(run(&mut fpu, Code::Fstp_m32fp).is_empty());
    assert_eq!(fpu.top, 7);
    assert!(fpu.pending());
    let waiting = x87_lookup(Code::Fld1).expect("FLD1");
    let mut out = [0; MAX_STORE];
    assert_eq!(fpu.execute(waiting, &Input::default(), &mut out), Err(X87Fault::Pending));
    run(&mut fpu, Code::Fnclex);
    assert!(!fpu.pending());
}

#[test]
fn an_unmasked_overflow_in_a_register_wraps_the_exponent() {
    let big = F80 { mantissa: TOP, sign_exponent: 0x7FFE };
    let mut fpu = with(&[big, big]);
    fpu.set_control_word(0x37F & !8);
    run(&mut fpu, Code::Fmul_st0_sti);
    let wrapped = 2 * (0x7FFE - 0x3FFF) - 24576 + 0x3FFF;
    assert_eq!(fpu.st(0), Some(F80 { mantissa: TOP, sign_exponent: wrapped }));
}

#[test]
fn stack_faults_tell_overflow_from_underflow() {
    let mut fpu = Fpu::new();
    run(&mut fpu, Code::Fsqrt);
    assert_eq!(fpu.status & (SF | C1 | 1), SF | 1);
    assert_eq!(fpu.st(0), Some(F80::INDEFINITE));
    let mut fpu = with(&[F80::ONE; 8]);
    run(&mut fpu, Code::Fldpi);
    assert_eq!(fpu.status & (SF | C1 | 1), SF | C1 | 1);
    assert_eq!(fpu.st(0), Some(F80::INDEFINITE));
}

#[test]
fn nan_operands() {
    let quiet = |payload| F80 { mantissa: TOP | QUIET | payload, sign_exponent: 0x7FFF };
    let signaling = F80 { mantissa: TOP | 9, sign_exponent: 0x7FFF };
    assert_eq!(result(&[quiet(5), quiet(6)], Code::Fadd_st0_sti), quiet(6));
    assert_eq!(result(&[signaling, quiet(1)], Code::Fadd_st0_sti), quiet(1));
    assert_eq!(result(&[F80::ONE, signaling], Code::Fadd_st0_sti), quiet(9));
    let unnormal = F80 { mantissa: 1, sign_exponent: 0x4000 };
    assert_eq!(result(&[F80::ONE, unnormal], Code::Fadd_st0_sti), F80::INDEFINITE);
}

#[test]
fn compares_set_codes_or_flags() {
    let mut fpu = with(&[number(2.0), number(1.0)]);
    run(&mut fpu, Code::Fcom_st0_sti);
    assert_eq!(fpu.status & (C3 | C2 | C0), C0);
    let mut out = [0; MAX_STORE];
    let op = x87_lookup(Code::Fucomip_st0_sti).expect("FUCOMIP");
    let input = Input { sti: 0, ..Input::default() };
    let effect = fpu.execute(op, &input, &mut out).expect("nothing pending");
    assert_eq!((effect.rflags, fpu.top), (Some(0x40), 7));
    fpu.push(F80::INDEFINITE);
    run(&mut fpu, Code::Fucompp);
    assert_eq!(fpu.status & (C3 | C2 | C0 | 1), C3 | C2 | C0);
    assert_eq!(fpu.valid, 0);
}

#[test]
fn examine_tells_the_classes() {
    let class = |value| {
        let mut fpu = with(&[value]);
        run(&mut fpu, Code::Fxam);
        fpu.status & (C3 | C2 | C1 | C0)
    };
    assert_eq!(class(number(-0.0)), C3 | C1);
    assert_eq!(class(number(f64::NEG_INFINITY)), C2 | C0 | C1);
    assert_eq!(class(F80 { mantissa: 1, sign_exponent: 0 }), C3 | C2);
    assert_eq!(class(F80::INDEFINITE), C0 | C1);
    let mut fpu = Fpu::new();
    run(&mut fpu, Code::Fxam);
    assert_eq!(fpu.status & (C3 | C2 | C0), C3 | C0);
}

#[test]
fn remainders_and_their_quotients() {
    let mut fpu = with(&[number(3.0), number(17.0)]);
    run(&mut fpu, Code::Fprem);
    assert_eq!(fpu.status & (C0 | C1 | C2 | C3), C0 | C1, "17 = 5 * 3 + 2");
    assert_eq!(as_f64(&mut fpu), 2.0);
    let mut fpu = with(&[number(3.0), number(17.0)]);
    run(&mut fpu, Code::Fprem1);
    assert_eq!(fpu.status & (C0 | C1 | C2 | C3), C0 | C3, "17 = 6 * 3 - 1");
    assert_eq!(as_f64(&mut fpu), -1.0);
    // 1e300 mod 7 takes several steps; the result is exact.
    let mut fpu = with(&[number(7.0), number(1e300)]);
    loop {
        run(&mut fpu, Code::Fprem);
        if fpu.status & C2 == 0 {
            break;
        }
    }
    assert_eq!(as_f64(&mut fpu), 1e300 % 7.0);
}

#[test]
fn extract_scale_and_round() {
    let mut fpu = with(&[number(-40.0)]);
    run(&mut fpu, Code::Fxtract);
    assert_eq!(fpu.st(0), Some(number(-1.25)));
    assert_eq!(fpu.st(1), Some(number(5.0)));
    run(&mut fpu, Code::Fscale);
    assert_eq!(as_f64(&mut fpu), -40.0);
    assert_eq!(result(&[number(2.5)], Code::Frndint), number(2.0));
    let mut fpu = with(&[number(0.0)]);
    run(&mut fpu, Code::Fxtract);
    assert_eq!((fpu.status & 4, fpu.st(1)), (4, Some(number(f64::NEG_INFINITY))));
}

#[test]
fn constants_follow_the_rounding_control() {
    let mut fpu = Fpu::new();
    run(&mut fpu, Code::Fldpi);
    fpu.set_control_word(0x77F);
    run(&mut fpu, Code::Fldpi);
    let [down, nearest] = [0, 1].map(|i| fpu.st(i).map(|v| v.mantissa));
    assert_eq!(nearest, Some(0xC90F_DAA2_2168_C235));
    assert_eq!(down, Some(0xC90F_DAA2_2168_C234));
    assert_eq!(fpu.status & 0x3F, 0);
}

/// Known values, to the last of 64 bits.
#[test]
fn transcendental_values() {
    let sig = |v: F80| (v.sign_exponent, v.mantissa);
    let one = F80::ONE;
    let half = F80 { sign_exponent: 0x3FFE, ..one };
    let two = F80 { sign_exponent: 0x4000, ..one };
    // sin 1, cos 1, sqrt(2) - 1, pi / 4, log2(3) and log2(1.25).
    assert_eq!(sig(result(&[one], Code::Fsin)), (0x3FFE, 0xD76A_A478_4867_7021));
    assert_eq!(sig(result(&[one], Code::Fcos)), (0x3FFE, 0x8A51_407D_A834_5C92));
    assert_eq!(sig(result(&[half], Code::F2xm1)), (0x3FFD, 0xD413_CCCF_E779_9211));
    assert_eq!(sig(result(&[one, one], Code::Fpatan)), (0x3FFE, 0xC90F_DAA2_2168_C235));
    assert_eq!(sig(result(&[one, number(3.0)], Code::Fyl2x)), (0x3FFF, 0xCAE0_0D1C_FDEB_43D0));
    let quarter = F80 { sign_exponent: 0x3FFD, ..one };
    assert_eq!(sig(result(&[one, quarter], Code::Fyl2xp1)), (0x3FFD, 0xA4D3_C25E_68DC_57F2));
    assert_eq!(result(&[two, number(8.0)], Code::Fyl2x), number(6.0));
}

/// The hardware's pi has 66 bits; C2 says that an argument is out of range.
#[test]
fn trigonometric_reduction() {
    let pi = F80 { mantissa: 0xC90F_DAA2_2168_C235, sign_exponent: 0x4000 };
    let minus_2_to_64 = F80 { mantissa: TOP, sign_exponent: 0xBFFF - 64 };
    assert_eq!(result(&[pi], Code::Fsin), minus_2_to_64);
    let far = F80 { mantissa: TOP, sign_exponent: 0x3FFF + 63 };
    let mut fpu = with(&[far]);
    run(&mut fpu, Code::Fcos);
    assert_eq!((fpu.status & C2, fpu.st(0)), (C2, Some(far)));
}

#[test]
fn sine_and_cosine_lie_on_the_circle() {
    for i in 0..200 {
        let x = number(f64::from(i) * 0.37 - 31.0);
        let mut fpu = with(&[x]);
        run(&mut fpu, Code::Fsincos);
        let (cos, sin) = (as_f64(&mut fpu), as_f64(&mut fpu));
        assert!((sin * sin + cos * cos - 1.0).abs() < 1e-15, "{i}");
        let tangent = {
            let mut fpu = with(&[x]);
            run(&mut fpu, Code::Fptan);
            assert_eq!(fpu.st(0), Some(F80::ONE));
            run_with(&mut fpu, Code::Fstp_sti, 0, &[]);
            as_f64(&mut fpu)
        };
        assert!((tangent * cos - sin).abs() < 1e-15, "{i}");
    }
}

#[test]
fn arc_tangent_covers_the_quadrants() {
    for (y, x) in [(1.0, 2.0), (-1.0, 2.0), (3.0, -1.0), (-3.0, -1e-9), (0.0, -1.0), (1e-30, 1.0)] {
        let mut fpu = with(&[number(y), number(x)]);
        run(&mut fpu, Code::Fpatan);
        let expected = f64::atan2(y, x);
        assert!((as_f64(&mut fpu) - expected).abs() <= expected.abs() * f64::EPSILON, "{y} {x}");
    }
}

#[test]
fn state_images_survive_a_round_trip() {
    let mut fpu = with(&[number(1.5), number(0.0), F80::INDEFINITE]);
    fpu.last = Origin { ip: 0x1234, cs: 0x23, dp: 0x5678, ds: 0x2B, opcode: 0x123 };
    let before = fpu.clone();
    let image = run(&mut fpu, Code::Fnsave_m108byte);
    assert_eq!(image.len(), 108);
    assert_eq!((fpu.valid, fpu.control), (0, 0x37F));
    // Tags: R5 special, R6 zero, R7 valid, the others empty.
    assert_eq!(image[8..10], [0xFF, 0b0001_1011]);
    run_with(&mut fpu, Code::Frstor_m108byte, 0, &image);
    assert_eq!(format!("{fpu:?}"), format!("{before:?}"));

    let mut other = Fpu::new();
    other.fxrstor(&before.fxsave(true), true);
    assert_eq!((other.regs, other.top, other.valid), (before.regs, before.top, before.valid));
    assert_eq!(before.fxsave(false)[4], 0b1110_0000);
}

#[test]
fn storing_the_environment_masks_all_exceptions() {
    let mut fpu = Fpu::new();
    fpu.set_control_word(0x340);
    let image = run(&mut fpu, Code::Fnstenv_m28byte);
    assert_eq!(image[..4], [0x40, 0x03, 0xFF, 0xFF]);
    assert_eq!(fpu.control, 0x37F);
}

#[test]
fn mmx_registers_are_the_mantissas() {
    let mut fpu = with(&[number(1.0), number(2.0)]);
    fpu.enter_mmx();
    fpu.write_mm(3, 0x0123_4567_89AB_CDEF);
    assert_eq!(fpu.read_mm(7), TOP);
    assert_eq!(fpu.st(3), Some(F80 { mantissa: 0x0123_4567_89AB_CDEF, sign_exponent: 0xFFFF }));
    assert_eq!((fpu.top, fpu.valid), (0, 0xFF));
    fpu.emms();
    assert_eq!(fpu.tag_word(), 0xFFFF);
}

#[test]
fn conditional_moves_look_at_rflags() {
    let mut fpu = with(&[number(7.0), number(1.0)]);
    let mut out = [0; MAX_STORE];
    let op = x87_lookup(Code::Fcmovnbe_st0_sti).expect("FCMOVNBE");
    for (rflags, expected) in [(0x41, 1.0), (0, 7.0)] {
        let input = Input { sti: 1, rflags, ..Input::default() };
        fpu.execute(op, &input, &mut out).expect("nothing pending");
        assert_eq!(fpu.st(0), Some(number(expected)));
    }
}

#[test]
fn control_instructions_leave_the_pointers_alone() {
    let mut fpu = Fpu::new();
    let mut out = [0; MAX_STORE];
    let at = |ip, dp| Origin { ip, dp, ..Origin::default() };
    let mut go = |code, memory: &[u8], origin| {
        let op = x87_lookup(code).expect("an x87 instruction");
        let input = Input { memory, origin, ..Input::default() };
        fpu.execute(op, &input, &mut out).expect("nothing pending");
        fpu.last
    };
    assert_eq!(go(Code::Fld_m32fp, &[0; 4], at(1, 2)), at(1, 2));
    assert_eq!(go(Code::Fsqrt, &[], at(3, 9)), at(3, 2));
    assert_eq!(go(Code::Fldcw_m2byte, &[0x7F, 3], at(5, 6)), at(3, 2));
}

/// Registers, control words and memory hold anything: nothing may panic, and what is
/// stored never exceeds what was announced.
#[test]
fn no_state_panics() {
    let mut state = 0x0123_4567_89AB_CDEFu64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut out = [0; MAX_STORE];
    for op in Code::values().filter_map(x87_lookup) {
        for _ in 0..300 {
            let mut fpu = Fpu::new();
            for reg in &mut fpu.regs {
                let near = next() % 8 != 0;
                let exponent = if near { 0x3FF0 + next() % 100 } else { next() & 0x7FFF };
                *reg = F80 {
                    mantissa: next() | if near { TOP } else { 0 },
                    sign_exponent: (exponent | next() & 0x8000) as u16,
                };
            }
            fpu.set_control_word(next() as u16);
            fpu.set_status_word(next() as u16 & !0x80FF);
            fpu.valid = (next() | next()) as u8;
            let memory: [u8; MAX_STORE] = std::array::from_fn(|_| next() as u8);
            let length = if next() % 4 == 0 { 1 } else { MAX_STORE };
            let input = Input {
                sti: next() as u8,
                memory: &memory[..length],
                rflags: next(),
                ..Input::default()
            };
            let effect = fpu.execute(op, &input, &mut out).expect("nothing pending");
            assert!(effect.stored == 0 || effect.stored == op.writes(), "{op:?}");
            assert!(fpu.top < 8 && fpu.control & 0xE0C0 == 0x40, "{op:?}");
            assert_eq!(fpu.pending(), fpu.status & !fpu.control & 0x3F != 0, "{op:?}");
        }
    }
}
