//! Calibration: what each layer's inputs look like on the user's own text, block by block.

mod data;
pub(crate) mod pass;
mod statistics;

pub use data::{CalibrationConfig, CalibrationData};
pub use statistics::InputStatistics;

pub(crate) use pass::Site;
pub(crate) use statistics::read;
