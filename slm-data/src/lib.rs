#![doc = include_str!("../README.md")]

mod example;

pub use example::{Document, Example, Message, Role};
