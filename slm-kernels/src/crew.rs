//! Threads that stay awake between kernels.
//!
//! A decoder runs hundreds of products for each token, tens of microseconds apart, and waking a thread takes about as long
//! as its share of one of them. So these threads look for the next job for a while before they sleep, and give way to
//! others while they look. One caller has them at a time; whoever comes meanwhile takes rayon's.
#![expect(unsafe_code, reason = "the threads borrow the caller's closure while a job is open")]

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

/// In [`Shared::state`]: a job may be entered.
const OPEN: usize = 1;
/// In [`Shared::state`]: one thread inside.
const INSIDE: usize = 2;

/// Looks before each offer of the processor to others, and offers before sleep: about 100 microseconds in all.
const LOOKS: u32 = 64;
const OFFERS: u32 = 64;

/// The caller's closure, whose lifetime the protocol of [`Shared::state`] stands for.
type Job = *const (dyn Fn() + Sync);

struct Shared {
    /// [`OPEN`], and [`INSIDE`] for each thread in the job. A job is left for good only when this is 0.
    state: AtomicUsize,
    /// Jobs so far.
    epoch: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    /// Whether a caller has the crew.
    taken: AtomicBool,
    /// Whether a thread panicked in the job.
    panicked: AtomicBool,
}

// SAFETY: `job` is written only by the caller that set `taken`, while no thread is inside, and read only by threads
// inside; entering acquires what opening released.
unsafe impl Sync for Shared {}
// SAFETY: as above; a `Job` is called from several threads, which its bound `Sync` allows.
unsafe impl Send for Shared {}

struct Worker {
    asleep: Arc<AtomicBool>,
    thread: Thread,
}

struct Crew {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
}

/// Runs `work` on this thread and, at the same time, on those of the crew; `false`, and nothing has run, where another
/// caller has it. `work` must end by itself on each thread, however many there are.
pub(crate) fn run(work: &(dyn Fn() + Sync)) -> bool {
    static CREW: OnceLock<Crew> = OnceLock::new();
    CREW.get_or_init(|| Crew::new(rayon::current_num_threads().saturating_sub(1))).run(work)
}

impl Crew {
    fn new(size: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicUsize::new(0),
            epoch: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            taken: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let start = |index: usize| {
            let (shared, asleep) = (shared.clone(), Arc::new(AtomicBool::new(false)));
            let worker = {
                let asleep = asleep.clone();
                move || serve(&shared, &asleep)
            };
            // A thread that the system refuses is one less.
            let handle = thread::Builder::new().name(format!("slm-{index}")).spawn(worker).ok()?;
            Some(Worker { asleep, thread: handle.thread().clone() })
        };
        let workers = (0..size).filter_map(start).collect();
        Self { shared, workers }
    }

    fn run(&self, work: &(dyn Fn() + Sync)) -> bool {
        let shared = &*self.shared;
        if shared.taken.swap(true, Ordering::Acquire) {
            return false;
        }
        // SAFETY: only the lifetime changes, and `Closing` lets no thread stay inside beyond this call.
        let job: Job = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(work) };
        // SAFETY: this caller has the crew, and the last one left it with nobody inside.
        unsafe { *shared.job.get() = Some(job) };
        let closing = Closing(shared);
        shared.state.store(OPEN, Ordering::Release);
        shared.epoch.fetch_add(1, Ordering::SeqCst);
        for worker in self.workers.iter().filter(|w| w.asleep.load(Ordering::SeqCst)) {
            worker.thread.unpark();
        }
        work();
        drop(closing);
        true
    }
}

/// Ends a job, also when the caller's part panics.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let Self(shared) = self;
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0_u32;
        while shared.state.load(Ordering::Acquire) != 0 {
            look(&mut looks);
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        shared.taken.store(false, Ordering::Release);
        assert!(!panicked || thread::panicking(), "a kernel panicked on another thread");
    }
}

fn look(looks: &mut u32) {
    *looks += 1;
    if looks.is_multiple_of(LOOKS) {
        thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// What a thread of the crew does all its life.
fn serve(shared: &Shared, asleep: &AtomicBool) {
    let mut seen = 0;
    loop {
        let mut looks = 0_u32;
        while shared.epoch.load(Ordering::Acquire) == seen {
            look(&mut looks);
            if looks == LOOKS * OFFERS {
                looks = 0;
                asleep.store(true, Ordering::SeqCst);
                // Either this sees the new job, or its caller sees the flag.
                if shared.epoch.load(Ordering::SeqCst) == seen {
                    thread::park();
                }
                asleep.store(false, Ordering::SeqCst);
            }
        }
        seen = shared.epoch.load(Ordering::Acquire);
        if enter(shared) {
            // SAFETY: inside, the job is set and its closure lives.
            let done = catch_unwind(AssertUnwindSafe(|| unsafe {
                if let Some(job) = *shared.job.get() {
                    (*job)();
                }
            }));
            if done.is_err() {
                shared.panicked.store(true, Ordering::Relaxed);
            }
            shared.state.fetch_sub(INSIDE, Ordering::Release);
        }
    }
}

/// Goes inside if a job is open, of whatever epoch.
fn enter(shared: &Shared) -> bool {
    let inside = |state: usize| (state & OPEN != 0).then_some(state + INSIDE);
    shared.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, inside).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of `tasks` once, whoever does it.
    fn counted(crew: &Crew, tasks: usize) -> Option<Vec<usize>> {
        let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        let next = AtomicUsize::new(0);
        let take = || {
            while let Some(count) = counts.get(next.fetch_add(1, Ordering::Relaxed)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        crew.run(&take).then(|| counts.into_iter().map(AtomicUsize::into_inner).collect())
    }

    #[test]
    fn every_task_runs_once_whoever_calls() {
        let crew = Crew::new(3);
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..2000 {
                        if let Some(counts) = counted(&crew, round % 37) {
                            assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        if round % 500 == 0 {
                            // Long enough for the crew to fall asleep.
                            thread::sleep(std::time::Duration::from_millis(3));
                        }
                    }
                });
            }
        });
        assert!(done.into_inner() >= 2000);
    }

    #[test]
    fn nested_and_failed_jobs_leave_it_as_it_was() {
        let crew = Crew::new(2);
        assert!(crew.run(&|| assert!(!crew.run(&|| ()))));
        let here = thread::current().id();
        for fails_here in [true, false] {
            let failed = AtomicBool::new(false);
            let job = || {
                let fails = (thread::current().id() == here) == fails_here;
                if fails && !failed.swap(true, Ordering::Relaxed) {
                    panic!("on purpose");
                }
                while !failed.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            assert!(catch_unwind(AssertUnwindSafe(|| crew.run(&job))).is_err());
            assert!(counted(&crew, 100).is_some_and(|counts| counts.iter().all(|count| *count == 1)));
        }
    }
}
