//! Buffers of a thread, kept from call to call: fresh memory costs more than some kernels do.

use std::cell::Cell;

/// Sixteen floats, aligned to a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// An aligned buffer of floats with arbitrary contents, handed back to the thread when dropped.
pub(crate) struct Scratch {
    lines: Vec<Line>,
    len: usize,
}

thread_local! {
    // Several, as a task may need more than one, and work stealing may start a task within another.
    static KEPT: Cell<Vec<Vec<Line>>> = const { Cell::new(Vec::new()) };
}

/// Buffers that a thread keeps.
const MAX_KEPT: usize = 6;

impl Scratch {
    /// A buffer of `len` floats.
    pub(crate) fn new(len: usize) -> Self {
        let mut kept = KEPT.take();
        // The smallest that is large enough, else the largest: it has the least to grow.
        let fits = |lines: &Vec<Line>| lines.len() * 16 >= len;
        let best =
            (0..kept.len()).min_by_key(|&i| (!fits(&kept[i]), kept[i].len().abs_diff(len.div_ceil(16))));
        let mut lines = best.map(|i| kept.swap_remove(i)).unwrap_or_default();
        KEPT.set(kept);
        if lines.len() * 16 < len {
            // Not `resize`: what a larger buffer held is not worth copying.
            lines = vec![Line([0.0; 16]); len.div_ceil(16)];
        }
        Self { lines, len }
    }

    /// The buffer as bytes.
    #[expect(unsafe_code, reason = "a byte may have any bits")]
    pub(crate) fn bytes(&self) -> &[i8] {
        // SAFETY: the floats are initialized, and bytes need no alignment.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), self.len * size_of::<f32>()) }
    }

    /// As [`Scratch::bytes`].
    #[expect(unsafe_code, reason = "a byte may have any bits, and so may a float")]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), self.len * size_of::<f32>()) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut kept = KEPT.take();
        kept.push(std::mem::take(&mut self.lines));
        if kept.len() > MAX_KEPT {
            let smallest = (0..kept.len()).min_by_key(|&i| kept[i].len());
            smallest.map(|i| kept.swap_remove(i));
        }
        KEPT.set(kept);
    }
}

impl std::ops::Deref for Scratch {
    type Target = [f32];

    #[expect(unsafe_code, reason = "lines are arrays of floats")]
    fn deref(&self) -> &[f32] {
        // SAFETY: a `Line` is sixteen initialized floats and nothing else; `len` is at most all of them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl std::ops::DerefMut for Scratch {
    #[expect(unsafe_code, reason = "lines are arrays of floats")]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_distinct_and_kept() {
        let (mut a, b) = (Scratch::new(100), Scratch::new(20));
        a.fill(7.0);
        assert_eq!((a.len(), b.len()), (100, 20));
        assert!(a.as_ptr().addr().is_multiple_of(64) && b.as_ptr().addr().is_multiple_of(64));
        assert!(!a.as_ptr_range().contains(&b.as_ptr()));
        let at = a.as_ptr();
        drop(a);
        assert_eq!(Scratch::new(90).as_ptr(), at);
        drop(b);
    }
}
