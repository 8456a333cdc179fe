//! A row-major matrix that tasks fill side by side, each its own columns.
#![expect(unsafe_code, reason = "disjoint columns of one buffer are written by several threads")]

use std::marker::PhantomData;

/// A row-major matrix behind a shared reference.
pub(super) struct Columns<'a> {
    data: *mut f32,
    len: usize,
    stride: usize,
    _borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is an exclusive borrow of the buffer for `'a`; the contract of `slice_mut` keeps
// the slices made from it disjoint.
unsafe impl Send for Columns<'_> {}
// SAFETY: as above; `&Columns` gives access to elements through `slice_mut` only.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    /// Borrows `data` as a matrix with rows of `stride`.
    pub(super) fn new(data: &'a mut [f32], stride: usize) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), stride, _borrow: PhantomData }
    }

    /// Elements `start..start + len` of `row`.
    ///
    /// # Safety
    ///
    /// While the slice lives, nothing else may hold a slice with an element in common.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's contract")]
    pub(super) unsafe fn slice_mut(&self, row: usize, start: usize, len: usize) -> &mut [f32] {
        let at = row * self.stride + start;
        assert!(start + len <= self.stride && at + len <= self.len, "columns outside of the matrix");
        // SAFETY: in bounds by the check above; unaliased by the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(at), len) }
    }
}
