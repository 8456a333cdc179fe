//! A weight file: each tensor of a file that opens has the size that its shape says, or is refused.

#![no_main]

use std::cell::LazyCell;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use slm_core::model::{FloatType, TensorFile};
use tempfile::TempDir;

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| TempDir::new().expect("a folder for the input"));
}

fuzz_target!(|bytes: &[u8]| {
    let path: PathBuf = FOLDER.with(|folder| folder.path().join("model.safetensors"));
    std::fs::write(&path, bytes).expect("the input is written");
    let Ok(file) = TensorFile::open(&path) else { return };
    for (name, shape) in file.shapes() {
        let count: usize = shape.iter().product();
        if let Ok(values) = file.read_f32(&name) {
            assert_eq!(values.len(), count, "{name}");
        }
        for float in [None, Some(FloatType::F32), Some(FloatType::F16), Some(FloatType::Bf16)] {
            if let Ok(data) = file.read(&name, float) {
                assert_eq!(data.num_elements(), count, "{name}");
            }
        }
    }
});
