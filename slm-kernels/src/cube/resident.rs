//! [`Resident`]: what a device keeps of a packed weight.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_cubecl::Cube;
use burn_cubecl::tensor::CubeTensor;

use super::linear::Coding;
use crate::packed::NF4;
use crate::{Format, PackedTensor};

/// A weight `[rows, cols]` on a device: the words of its codes as they are on the host, and behind them scales, minimums and
/// the table of NF4, each as the bits of `f32`. It is one buffer, as each further one costs a launch some 12 µs.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    packed: Arc<CubeTensor>,
    pub(super) rows: usize,
    pub(super) cols: usize,
    group_size: usize,
    pub(super) coding: Coding,
}

impl Codes {
    /// `None` for what the kernels do not read: blocks of GGUF files, another order of inputs, rows that do not fill 16 bytes.
    fn new(w: &PackedTensor, device: &Device) -> Option<Self> {
        let coding = match w.format() {
            Format::Int8 { .. } => Coding::Byte,
            Format::Int4 { .. } => Coding::Symmetric,
            Format::Int4Asym { .. } => Coding::Asymmetric,
            Format::Nf4 { .. } => Coding::Table,
            Format::Block(_) => return None,
        };
        let group_size = w.format().group_size();
        if w.input_order().is_some() || !group_size.is_multiple_of(coding.weights()) {
            return None;
        }
        let codes = w.codes().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let halves = [w.scales(), w.minimums().unwrap_or_default()].into_iter().flatten();
        let floats = halves.map(|half| half.to_f32()).chain(match coding {
            Coding::Table => NF4.to_vec(),
            _ => Vec::new(),
        });
        let words: Vec<u32> = codes.chain(floats.map(f32::to_bits)).collect();
        let count = words.len();
        let words = Tensor::<1, Int>::from_data(TensorData::new(words, [count]), (device, DType::U32));
        let packed = words.try_into_primitive::<Cube>().expect("a tensor of a GPU without autodiff");
        Some(Self { packed: Arc::new(packed), rows: w.rows(), cols: w.cols(), group_size, coding })
    }

    /// All of it.
    pub(super) fn packed(&self) -> &CubeTensor {
        &self.packed
    }

    /// Words of codes in a row.
    pub(super) fn words(&self) -> usize {
        self.cols / self.coding.weights() * 4
    }

    /// Words of codes that share a scale.
    pub(super) fn group(&self) -> usize {
        self.group_size / self.coding.weights() * 4
    }

    /// Where the scales begin.
    pub(super) fn scales(&self) -> usize {
        self.rows * self.words()
    }

    /// Where the minimums begin, for those that have them.
    pub(super) fn minimums(&self) -> usize {
        self.scales() + self.rows * self.cols / self.group_size
    }

    /// Where the table begins, for those that have one.
    pub(super) fn table(&self) -> usize {
        self.minimums()
    }
}

/// A packed weight on a device.
#[derive(Debug, Clone)]
pub(crate) enum OnDevice {
    /// As it is packed.
    Packed(Box<Codes>),
    /// Expanded to `f32`, as there is no kernel for it.
    Dense(Box<Tensor<2>>),
}

/// Keeps a packed weight on the device that last asked for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resident(Arc<Mutex<Option<(Device, OnDevice)>>>);

impl Resident {
    /// The weight on `device`; it is sent there by the first call.
    pub(crate) fn on(&self, device: &Device, w: &PackedTensor) -> OnDevice {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, weight)) = &*kept
            && at == device
        {
            return weight.clone();
        }
        let dense = || {
            let data = TensorData::new(w.dequantize(), [w.rows(), w.cols()]);
            OnDevice::Dense(Box::new(Tensor::from_data(data, (device, DType::F32))))
        };
        let weight = Codes::new(w, device).map_or_else(dense, |codes| OnDevice::Packed(Box::new(codes)));
        *kept = Some((device.clone(), weight.clone()));
        weight
    }
}

/// Two weights are equal whether or not a device has a copy of them.
impl PartialEq for Resident {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
