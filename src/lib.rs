//! slm
