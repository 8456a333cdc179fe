//! Results that several tasks fill side by side, without filling them with zeros first.
#![expect(unsafe_code, reason = "memory is handed out before it holds values")]

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A buffer to be written by several tasks, each its own elements.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    start: *mut f32,
    len: usize,
    _borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is an exclusive borrow of the buffer for `'a`, and the contract of `at` keeps the
// writes through it disjoint.
unsafe impl Send for Output<'_> {}
// SAFETY: as above.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// Overwrites `buffer`.
    pub(crate) fn new(buffer: &'a mut [f32]) -> Self {
        Self { start: buffer.as_mut_ptr(), len: buffer.len(), _borrow: PhantomData }
    }

    /// Elements of the buffer.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the elements from `index` on go, `len` of which must be in the buffer.
    ///
    /// # Safety
    /// Tasks that run at the same time must not touch the same elements.
    #[inline(always)]
    pub(crate) unsafe fn at(&self, index: usize, len: usize) -> *mut f32 {
        assert!(index + len <= self.len, "outside of the buffer");
        // SAFETY: in bounds by the check above.
        unsafe { self.start.add(index) }
    }

    /// The `len` elements from `start` on.
    pub(crate) fn part(&self, start: usize, len: usize) -> Self {
        assert!(start + len <= self.len, "outside of the buffer");
        // SAFETY: in bounds by the check above.
        Self { start: unsafe { self.start.add(start) }, len, _borrow: PhantomData }
    }

    /// A new vector of `len` floats, all of which `fill` must write.
    ///
    /// # Safety
    /// `fill` must write every element, and read none that it has not written.
    #[cfg(feature = "flex")]
    pub(crate) unsafe fn collect(len: usize, fill: impl FnOnce(Output<'_>)) -> Vec<f32> {
        let mut buffer = Vec::<f32>::with_capacity(len);
        fill(Output { start: buffer.as_mut_ptr(), len, _borrow: PhantomData });
        // SAFETY: the capacity is `len`, and all elements are written by the contract.
        unsafe { buffer.set_len(len) };
        buffer
    }
}

/// Runs `run` for each of `tasks`, on several threads where the `work` (operations) is worth it.
///
/// The calling thread takes part: it need not sleep while others work, as it would if it only handed the tasks to the pool.
pub(crate) fn for_each_task(tasks: usize, work: usize, run: impl Fn(usize) + Sync + Send) {
    let others = rayon::current_num_threads().min(tasks).saturating_sub(1);
    if work < PARALLEL_FROM || others == 0 {
        (0..tasks).for_each(run);
        return;
    }
    let next = AtomicUsize::new(0);
    let take = || {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                break;
            }
            run(task);
        }
    };
    if crate::crew::run(&take) {
        return;
    }
    rayon::in_place_scope(|scope| {
        (0..others).for_each(|_| scope.spawn(|_| take()));
        take();
    });
}

/// Below this many operations a kernel runs on the calling thread.
const PARALLEL_FROM: usize = 1 << 16;
