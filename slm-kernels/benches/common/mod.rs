//! What the benchmarks share: contests whose contenders take turns, and the limits of the machine.
#![allow(dead_code, reason = "each benchmark uses some of it")]

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

/// Something to time.
pub(crate) struct Contender<'a> {
    /// For the table.
    pub(crate) name: &'a str,
    run: Box<dyn FnMut() + 'a>,
}

/// A contender.
pub(crate) fn contender<'a>(name: &'a str, run: impl FnMut() + 'a) -> Contender<'a> {
    Contender { name, run: Box::new(run) }
}

/// Best seconds of each contender. They take turns, so that a change of the machine's speed hits all alike.
pub(crate) fn contest(rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<f64> {
    let mut best = vec![f64::INFINITY; contenders.len()];
    for _ in 0..rounds {
        for (contender, best) in contenders.iter_mut().zip(&mut best) {
            let start = Instant::now();
            (contender.run)();
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    best
}

/// Prints a line per contender: time, speed in `unit`s of `work`, share of `limit` (units per second), and
/// speed relative to the last contender.
pub(crate) fn report(
    what: &str,
    contenders: &[Contender<'_>],
    seconds: &[f64],
    work: f64,
    limit: f64,
    unit: &str,
) {
    let last = seconds.last().copied().unwrap_or(f64::NAN);
    for (contender, seconds) in contenders.iter().zip(seconds) {
        println!(
            "{what:<34} {:<14} {:>10.3} ms {:>8.1} {unit} {:>4.0} % {:>7.2}x",
            contender.name,
            seconds * 1e3,
            work / seconds / 1e9,
            100.0 * work / seconds / limit,
            last / seconds,
        );
    }
}

/// Bytes per second that all threads together read from memory.
pub(crate) fn memory_limit() -> f64 {
    let data = vec![1_u64; 32 << 20];
    let pass = || {
        let part = |part: &[u64]| part.iter().fold(0_u64, |sum, v| sum.wrapping_add(*v));
        black_box(data.par_chunks(1 << 17).map(part).reduce(|| 0, u64::wrapping_add));
    };
    let seconds = contest(7, &mut [contender("read", pass)])[0];
    size_of_val(&data[..]) as f64 / seconds
}

/// Operations per second (a fused multiplication and addition is two) that all threads together reach without
/// touching memory.
pub(crate) fn arithmetic_limit() -> f64 {
    const STEPS: usize = 1 << 22;
    let threads = rayon::current_num_threads();
    let pass = || {
        (0..threads).into_par_iter().with_max_len(1).for_each(|_| {
            black_box(multiply(STEPS));
        });
    };
    let seconds = contest(7, &mut [contender("fma", pass)])[0];
    (2 * SUMS * STEPS * threads) as f64 / seconds
}

/// Independent sums: enough that none waits for its own last step.
const SUMS: usize = 96;

fn multiply(steps: usize) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        /// Compiled for AVX2 and FMA.
        #[target_feature(enable = "avx2,fma")]
        fn wide(steps: usize) -> f32 {
            rounds(steps)
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            #[expect(unsafe_code, reason = "the processor has the instructions")]
            // SAFETY: checked above.
            return unsafe { wide(steps) };
        }
    }
    rounds(steps)
}

#[inline(always)]
fn rounds(steps: usize) -> f32 {
    let mut sums = [1.0_f32; SUMS];
    let (a, b) = (black_box(0.999_f32), black_box(0.001_f32));
    for _ in 0..steps {
        for sum in &mut sums {
            *sum = sum.mul_add(a, b);
        }
    }
    sums.iter().sum()
}

/// Numbers in -1..1 that differ.
pub(crate) fn wave(len: usize, step: f32) -> Vec<f32> {
    (0..len).map(|i| ((i % 8191) as f32 * step).sin()).collect()
}
