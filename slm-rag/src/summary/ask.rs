//! Many texts to one model, in turn or at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::{Error, Result};

/// Does the jobs `0..count` with a model and hands on what each gave, in any order.
pub(super) type DoAll<M, T> = fn(
    model: &M,
    workers: usize,
    count: usize,
    job: &(dyn Fn(&M, usize) -> Result<T> + Sync),
    on_done: &mut dyn FnMut(usize, T) -> Result<()>,
) -> Result<()>;

/// One after the other.
pub(super) fn in_turn<M, T>(
    model: &M,
    _: usize,
    count: usize,
    job: &(dyn Fn(&M, usize) -> Result<T> + Sync),
    on_done: &mut dyn FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    (0..count).try_for_each(|n| on_done(n, job(model, n)?))
}

/// On several threads; the first failure ends all.
pub(super) fn at_once<M: Sync, T: Send>(
    model: &M,
    workers: usize,
    count: usize,
    job: &(dyn Fn(&M, usize) -> Result<T> + Sync),
    on_done: &mut dyn FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, results) = mpsc::channel::<(usize, Result<T>)>();
    thread::scope(|scope| {
        for _ in 0..workers.clamp(1, count.max(1)) {
            let (sender, next, failed) = (sender.clone(), &next, &failed);
            scope.spawn(move || {
                while !failed.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count || sender.send((n, job(model, n))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let done: Result<(), Error> = results.iter().try_for_each(|(n, result)| on_done(n, result?));
        failed.store(done.is_err(), Ordering::Relaxed);
        done
    })
}
