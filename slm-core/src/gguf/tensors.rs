//! Weights as the bytes of a GGUF file.

use std::borrow::Cow;

use super::GgufType;
use crate::Result;
use crate::model::{FloatType, Held};

/// How weights are written.
pub(super) struct Encoded;

impl Encoded {
    /// The type that `held` is written as; what the format has no blocks for becomes `float`.
    pub(super) fn kind(_held: &Held, float: FloatType) -> GgufType {
        float.into()
    }
}

/// The bytes of `held` as `kind`, or as `float` if that is the kind.
pub(super) fn encode<'a>(
    held: &'a Held,
    name: &str,
    (_kind, float): (GgufType, FloatType),
    plus_one: bool,
) -> Result<Cow<'a, [u8]>> {
    let mut values = held.values(name)?;
    if plus_one {
        values.iter_mut().for_each(|v| *v += 1.0);
    }
    Ok(Cow::Owned(float.encode(&values).1))
}
