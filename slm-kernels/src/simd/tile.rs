//! The two inner loops of all matrix products: sums of rows with rows, and sums of outer products.
#![expect(unsafe_code, reason = "pointers into matrices, checked once by the caller")]

use super::{Element, Simd, strip};

/// `M` packed rows times `N` rows of weights, along `steps` vectors.
#[derive(Clone, Copy)]
pub(crate) struct Dots<E, const N: usize> {
    /// `[steps, M, LANES]`.
    pub(crate) x: *const f32,
    /// Where the rows start.
    pub(crate) w: [*const E; N],
    /// Elements from a vector of a row to the next.
    pub(crate) stride: usize,
    /// Vectors.
    pub(crate) steps: usize,
    /// Bytes ahead of the weights to fetch, 0 for none.
    pub(crate) ahead: usize,
}

/// Lane sums of the scalar products of `M` rows of `x` with `N` of `w`, each in order of the columns.
///
/// # Safety
/// `x` must be readable for `steps * M` vectors, each `w` from its start for `steps` vectors `stride` apart.
#[inline(always)]
pub(crate) unsafe fn dots<S: Simd, E: Element, const M: usize, const N: usize>(
    s: S,
    tile: Dots<E, N>,
) -> [[S::V; N]; M] {
    let mut sums = [[s.splat(0.0); N]; M];
    let mut x = tile.x;
    for step in 0..tile.steps {
        let at = step * tile.stride;
        let mut w = [s.splat(0.0); N];
        for (w, from) in w.iter_mut().zip(tile.w) {
            // SAFETY: the contract of this function.
            unsafe {
                let from = from.add(at);
                if tile.ahead > 0 {
                    s.prefetch(from.cast::<u8>().wrapping_add(tile.ahead));
                }
                *w = E::load(s, from);
            }
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the contract of this function.
            let x = unsafe { s.load(x.add(i * S::LANES)) };
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum = E::fma(s, x, w, *sum);
            }
        }
        x = x.wrapping_add(M * S::LANES);
    }
    sums
}

/// `C += A · B` on a tile of `M` rows and `N` vectors.
#[derive(Clone, Copy)]
pub(crate) struct Outer<E> {
    /// `[M, depth]`, rows `a_stride` and columns `a_step` apart.
    pub(crate) a: *const f32,
    /// See `a`.
    pub(crate) a_stride: usize,
    /// See `a`.
    pub(crate) a_step: usize,
    /// `[depth, N vectors]`, rows `b_stride` apart.
    pub(crate) b: *const E,
    /// See `b`.
    pub(crate) b_stride: usize,
    /// Columns of `A`, rows of `B`.
    pub(crate) depth: usize,
    /// `[M, N vectors]`, rows `c_stride` apart.
    pub(crate) c: *mut f32,
    /// See `c`.
    pub(crate) c_stride: usize,
    /// Whether `C` is overwritten rather than added to.
    pub(crate) fresh: bool,
    /// Bytes ahead of `B` to fetch, 0 for none.
    pub(crate) ahead: usize,
}

/// Runs a tile; each sum is taken in the order of `depth`.
///
/// # Safety
/// The matrices must be readable, and `C` writable and unshared, in the extent that their fields say.
#[inline(always)]
unsafe fn outer<S: Simd, E: Element, const M: usize, const N: usize>(s: S, tile: Outer<E>) {
    let mut sums = [[s.splat(0.0); N]; M];
    if !tile.fresh {
        for (i, sums) in sums.iter_mut().enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the contract of this function.
                *sum = unsafe { s.load(tile.c.add(i * tile.c_stride + j * S::LANES)) };
            }
        }
    }
    for k in 0..tile.depth {
        let mut b = [s.splat(0.0); N];
        for (j, b) in b.iter_mut().enumerate() {
            // SAFETY: the contract of this function.
            unsafe {
                let from = tile.b.add(k * tile.b_stride + j * S::LANES);
                if tile.ahead > 0 {
                    s.prefetch(from.cast::<u8>().wrapping_add(tile.ahead));
                }
                *b = E::load(s, from);
            }
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the contract of this function.
            let a = s.splat(unsafe { *tile.a.add(i * tile.a_stride + k * tile.a_step) });
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = s.fma(a, b, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            // SAFETY: the contract of this function.
            unsafe { s.store(tile.c.add(i * tile.c_stride + j * S::LANES), *sum) };
        }
    }
}

/// [`outer`] on any number of rows and vectors.
///
/// # Safety
/// As [`outer`].
#[inline(always)]
pub(crate) unsafe fn product<S: Simd, E: Element>(s: S, rows: usize, vectors: usize, tile: Outer<E>) {
    for first in (0..rows).step_by(strip(S::LANES)) {
        let height = (rows - first).min(strip(S::LANES));
        // SAFETY: the contract of this function.
        unsafe {
            let (a, c) = (tile.a.add(first * tile.a_stride), tile.c.add(first * tile.c_stride));
            strip_product(s, height, vectors, Outer { a, c, ..tile });
        }
    }
}

/// [`outer`] on `height` rows (at most a strip) and any number of vectors.
///
/// # Safety
/// As [`outer`].
#[inline(always)]
pub(crate) unsafe fn strip_product<S: Simd, E: Element>(s: S, height: usize, vectors: usize, tile: Outer<E>) {
    let mut done = 0;
    while done < vectors {
        // Few rows leave registers for whole rows of values.
        let left = vectors - done;
        let width = if left >= 8 && height <= 2 && S::LANES == 16 {
            8
        } else if left >= 4 {
            4
        } else if left >= 2 {
            2
        } else {
            1
        };
        // SAFETY: the contract of this function.
        unsafe {
            let tile = Outer { b: tile.b.add(done * S::LANES), c: tile.c.add(done * S::LANES), ..tile };
            match (height, width) {
                (1, 8) => outer::<S, E, 1, 8>(s, tile),
                (_, 8) => outer::<S, E, 2, 8>(s, tile),
                (1, 4) => outer::<S, E, 1, 4>(s, tile),
                (2, 4) => outer::<S, E, 2, 4>(s, tile),
                (3, 4) => outer::<S, E, 3, 4>(s, tile),
                (4, 4) => outer::<S, E, 4, 4>(s, tile),
                (5, 4) => outer::<S, E, 5, 4>(s, tile),
                (_, 4) => outer::<S, E, 6, 4>(s, tile),
                (1, 2) => outer::<S, E, 1, 2>(s, tile),
                (2, 2) => outer::<S, E, 2, 2>(s, tile),
                (3, 2) => outer::<S, E, 3, 2>(s, tile),
                (4, 2) => outer::<S, E, 4, 2>(s, tile),
                (5, 2) => outer::<S, E, 5, 2>(s, tile),
                (_, 2) => outer::<S, E, 6, 2>(s, tile),
                (1, _) => outer::<S, E, 1, 1>(s, tile),
                (2, _) => outer::<S, E, 2, 1>(s, tile),
                (3, _) => outer::<S, E, 3, 1>(s, tile),
                (4, _) => outer::<S, E, 4, 1>(s, tile),
                (5, _) => outer::<S, E, 5, 1>(s, tile),
                (_, _) => outer::<S, E, 6, 1>(s, tile),
            }
        }
        done += width;
    }
}
