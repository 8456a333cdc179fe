//! [`Resident`]: what a device keeps of a packed weight.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, Device, Int, Tensor, TensorData, f16};
use burn_cubecl::Cube;
use burn_cubecl::tensor::CubeTensor;

use super::linear::Coding;
use super::take;
use crate::packed::NF4;
use crate::{Format, PackedTensor};

/// The codes of a weight `[rows, cols]` on a device, as they are on the host, and their scales in `f32`.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    /// Codes in words of four bytes, scales, minimums and the table of NF4.
    parts: Arc<[CubeTensor; 4]>,
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
        let words = w.codes().chunks_exact(4);
        let words: Vec<u32> = words.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let count = words.len();
        let words = Tensor::<1, Int>::from_data(TensorData::new(words, [count]), (device, DType::U32));
        let floats = |numbers: Vec<f32>| {
            let count = numbers.len();
            take(Tensor::<1>::from_data(TensorData::new(numbers, [count]), (device, DType::F32)))
        };
        let widened = |halves: &[f16]| halves.iter().map(|half| half.to_f32()).collect();
        let parts = [
            words.try_into_primitive::<Cube>().expect("a tensor of a GPU without autodiff"),
            floats(widened(w.scales())),
            floats(w.minimums().map_or_else(|| vec![0.0], widened)),
            floats(NF4.to_vec()),
        ];
        Some(Self { parts: Arc::new(parts), rows: w.rows(), cols: w.cols(), group_size, coding })
    }

    /// Codes, scales, minimums and table.
    pub(super) fn parts(&self) -> &[CubeTensor; 4] {
        &self.parts
    }

    /// Lots of 16 bytes in a row.
    pub(super) fn blocks(&self) -> usize {
        self.cols / self.coding.weights()
    }

    /// Lots of 16 bytes that share a scale.
    pub(super) fn group(&self) -> usize {
        self.group_size / self.coding.weights()
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
