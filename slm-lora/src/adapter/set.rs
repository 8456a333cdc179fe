//! [`AdapterSet`]: several adapters on one base.

use std::collections::BTreeMap;

use slm_core::CausalLm;

use super::LoraAdapter;
use crate::{Error, Result};

/// One base and several adapters for it, chosen by name for each request. The base is held once and never changes.
#[derive(Debug, Clone)]
pub struct AdapterSet {
    base: CausalLm,
    models: BTreeMap<String, CausalLm>,
}

impl AdapterSet {
    /// A set without adapters.
    pub fn new(base: CausalLm) -> Self {
        Self { base, models: BTreeMap::new() }
    }

    /// Adds an adapter, in place of one of the same name.
    ///
    /// # Errors
    /// When it does not fit the base; the set is then unchanged.
    pub fn insert(&mut self, name: impl Into<String>, adapter: &LoraAdapter) -> Result<()> {
        let mut model = self.base.clone();
        adapter.attach(&mut model)?;
        self.models.insert(name.into(), model);
        Ok(())
    }

    /// Takes an adapter out; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.models.remove(name).is_some()
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// The base alone.
    pub fn base(&self) -> &CausalLm {
        &self.base
    }

    /// The base with an adapter; both share the base's weights.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn model(&self, name: &str) -> Result<&CausalLm> {
        self.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            Error::Config { field: "adapter", reason: format!("\"{name}\" is none of {known:?}") }
        })
    }
}
