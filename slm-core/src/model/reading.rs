//! [`Reading`]: a pass over whole sequences, block by block, for whoever needs what lies between.

use burn::tensor::{Int, Tensor};

use super::CausalLm;
use crate::Result;
use crate::nn::Pass;

/// A pass without a cache over sequences behind one another in one row, or over a batch of sequences of one length.
/// [`CausalLm::hidden`] is [`embed`](Self::embed), each [`block`](Self::block) and [`norm`](Self::norm) in order.
#[derive(Debug)]
pub struct Reading<'a> {
    model: &'a CausalLm,
    pass: Pass<'a>,
}

impl CausalLm {
    /// Begins a pass over sequences of `lengths` tokens, each of which sees itself alone and starts at position 0. One
    /// length stands for a batch of any size.
    ///
    /// # Errors
    /// When there is no sequence, one is empty, or one is longer than the model's context.
    pub fn reading(&self, lengths: &[usize]) -> Result<Reading<'_>> {
        let runs: Vec<_> = lengths.iter().map(|length| 0..*length).collect();
        let pass = self.begin(&runs, &self.device())?;
        Ok(Reading { model: self, pass })
    }
}

impl Reading<'_> {
    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.model.layers.len()
    }

    /// # Shapes
    /// `[batch, length]` to `[batch, length, hidden]`.
    ///
    /// # Errors
    /// When a token is none of the model's.
    pub fn embed(&self, ids: Tensor<2, Int>) -> Result<Tensor<3>> {
        let [batch, length] = ids.dims();
        let x = self.model.embed(ids.reshape([batch * length]))?;
        Ok(x.reshape([batch, length, self.model.config.hidden_size]))
    }

    /// One block, counted from 0; `x` as it is where there is no such block.
    ///
    /// # Shapes
    /// `[batch, length, hidden]` to the same.
    pub fn block(&self, index: usize, x: Tensor<3>) -> Tensor<3> {
        match self.model.layers.get(index) {
            Some(block) => block.forward(x, index, &self.pass, &mut []),
            None => x,
        }
    }

    /// The norm after the last block.
    ///
    /// # Shapes
    /// `[batch, length, hidden]` to the same.
    pub fn norm(&self, x: Tensor<3>) -> Tensor<3> {
        self.model.norm.forward(x)
    }
}
