//! Memory of results, used again: the pages of a fresh buffer cost more than some of the kernels that fill it.
//!
//! A model makes results of the same few sizes over and over. The system's allocator gives large buffers back to the
//! system and gets them again as pages that must be cleared, which took a tenth of reading a prompt.
#![expect(unsafe_code, reason = "memory is handed out before it holds values")]

use std::mem::{MaybeUninit, take};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};

use crate::output::Output;

/// Sixteen floats, aligned to a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

type Buffer = Box<[MaybeUninit<Line>]>;

/// Smaller results come from the allocator, which keeps them itself.
const SMALLEST: usize = 1 << 15;
/// Lines that may be kept in any case (64 MiB).
const LINES: usize = 1 << 20;

/// What is kept, and what is in use.
struct Kept {
    buffers: Vec<Buffer>,
    /// Lines of all buffers.
    lines: usize,
    /// Lines in use.
    live: usize,
    /// Most lines that were in use at once: a step of training makes hundreds of results before it drops the first.
    peak: usize,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { buffers: Vec::new(), lines: 0, live: 0, peak: 0 });

fn kept() -> MutexGuard<'static, Kept> {
    // No panic can happen while it is locked.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// A buffer of at least `lines` lines, if there is one that is not missing elsewhere.
    fn take(&mut self, lines: usize) -> Option<Buffer> {
        // One twice as large would be.
        let fits = |buffer: &Buffer| buffer.len() >= lines && buffer.len() / 2 <= lines;
        let all = 0..self.buffers.len();
        // The last of equals: it is the likeliest to be in a cache.
        let best = all.rev().filter(|&i| fits(&self.buffers[i])).min_by_key(|&i| self.buffers[i].len())?;
        let buffer = self.buffers.swap_remove(best);
        self.lines -= buffer.len();
        Some(buffer)
    }

    /// Takes out what must not be kept: with what is in use it would be more than ever was in use.
    fn surplus(&mut self) -> Vec<Buffer> {
        let room = LINES.max(self.peak.saturating_sub(self.live));
        let mut surplus = Vec::new();
        while self.lines > room {
            // The oldest: its size is no longer asked for.
            let buffer = self.buffers.remove(0);
            self.lines -= buffer.len();
            surplus.push(buffer);
        }
        surplus
    }
}

/// Gives all memory that is kept back to the system.
pub(crate) fn release() {
    let mut kept = kept();
    kept.peak = kept.live;
    kept.lines = 0;
    let buffers = take(&mut kept.buffers);
    // Freed after the lock.
    drop(kept);
    drop(buffers);
}

/// A buffer that goes back when it is dropped.
struct Pooled(Buffer);

impl Pooled {
    /// Room for `lines` lines.
    fn new(lines: usize) -> Self {
        let mut kept = kept();
        let found = kept.take(lines);
        kept.live += found.as_ref().map_or(lines, |buffer| buffer.len());
        kept.peak = kept.peak.max(kept.live);
        let surplus = kept.surplus();
        drop(kept);
        drop(surplus);
        Self(found.unwrap_or_else(|| Box::new_uninit_slice(lines)))
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let buffer = take(&mut self.0);
        let mut kept = kept();
        kept.live -= buffer.len();
        kept.lines += buffer.len();
        kept.buffers.push(buffer);
        let surplus = kept.surplus();
        // Freed after the lock.
        drop(kept);
        drop(surplus);
    }
}

impl AllocationController for Pooled {
    fn alloc_align(&self) -> usize {
        align_of::<Line>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes = size_of_val(&self.0[..]);
        // SAFETY: lines are bytes without padding, and the borrow is exclusive.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), bytes) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        // SAFETY: as above, shared.
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), size_of_val(&self.0[..])) })
    }
}

/// The bytes of `len` floats, all of which `fill` must write.
///
/// # Safety
/// `fill` must write every element, and read none that it has not written.
pub(crate) unsafe fn collect(len: usize, fill: impl FnOnce(Output<'_>)) -> Bytes {
    if len < SMALLEST {
        let mut buffer = Vec::<f32>::with_capacity(len);
        // SAFETY: the capacity is `len`.
        fill(unsafe { Output::uninit(buffer.as_mut_ptr(), len) });
        // SAFETY: all elements are written by the contract.
        unsafe { buffer.set_len(len) };
        return Bytes::from_elems(buffer);
    }
    let mut buffer = Pooled::new(len.div_ceil(16));
    // SAFETY: the buffer has room for `len` floats, aligned.
    fill(unsafe { Output::uninit(buffer.0.as_mut_ptr().cast(), len) });
    // SAFETY: as many bytes are written by the contract.
    unsafe { Bytes::from_controller(Box::new(buffer), len * size_of::<f32>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `len` floats of `value`.
    fn filled(len: usize, value: f32) -> Bytes {
        let write = |out: Output<'_>| {
            for i in 0..len {
                // SAFETY: the only writer.
                unsafe { *out.at(i, 1) = value };
            }
        };
        // SAFETY: all elements are written.
        unsafe { collect(len, write) }
    }

    fn floats(bytes: &Bytes) -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    #[test]
    fn buffers_hold_what_was_written_while_they_live() {
        for len in [0, 5, SMALLEST - 1, SMALLEST, SMALLEST + 7, 3 * SMALLEST] {
            let (a, mut b) = (filled(len, 1.0), filled(len, 2.0));
            let shared = b.clone();
            if let Some(first) = b.first_mut() {
                *first = 9;
            }
            drop(filled(len, 3.0));
            let again = filled(len, 4.0);
            assert!(floats(&a).iter().all(|v| *v == 1.0) && floats(&a).len() == len);
            assert!(floats(&shared).iter().all(|v| *v == 2.0));
            assert!(floats(&again).iter().all(|v| *v == 4.0));
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let held: Vec<Bytes> = (0..48).map(|i| filled(SMALLEST << (i % 7), 0.0)).collect();
        drop(held);
        drop(filled(16 * LINES + 16, 0.0));
        {
            let kept = kept();
            assert_eq!(kept.lines, kept.buffers.iter().map(|buffer| buffer.len()).sum::<usize>());
            assert!(kept.lines <= LINES.max(kept.peak - kept.live));
        }
        release();
        let kept = kept();
        // Other tests make results beside this one.
        assert!(kept.lines <= LINES.max(kept.peak - kept.live));
    }
}
