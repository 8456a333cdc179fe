//! Synthetic text for examples, tests and the guided tour: no download, no licence, no waiting.
//!
//! The tables and grammars here make everything that a domain expert's life needs, small enough for a
//! model of one to three million parameters to learn on two processor cores:
//!
//! - [`general_examples`]: skills for the base model (copy, reverse, extract, find, look up, facts, select).
//! - [`domain_examples`]: the domain, triage of log lines, answered in JSON under a fixed policy.
//! - [`dirty`]: the same domain as it would be found in the wild, with twelve kinds of [`DirtKind`] planted.
//! - [`off_domain_questions`]: everything else that people ask, in two halves without a common topic.
//! - [`runbooks`]: one page per fault to retrieve from, with [`runbook_questions`] about them.
//!
//! Every function is a pure function of its arguments: equal seeds give equal text. Identifiers (hosts,
//! codes, durations, made-up words) are drawn anew for each example, so memorising does not help. A
//! question of the general suite can never be a training question, whatever the two seeds, because each
//! side owns a part of the space of questions (see [`general_suite`]).
//!
//! Vocabulary and punctuation are few and regular on purpose: a byte-level BPE of at most 1024 entries
//! spends about two characters per token on them.

mod dice;
mod dirt;
mod general;
mod legacy;
mod logs;
mod off_domain;
mod runbook_pages;
mod runbooks;
mod topics;
mod words;

pub use dirt::{DirtConfig, DirtKind, dirty};
pub use general::{GeneralTask, general_examples, general_suite};
pub use logs::{
    FAULTS, Fault, LogEvent, SERVICES, actions, allowed_values, answer_keys, domain_examples, grounded_keys,
    log_events, severities,
};
pub use off_domain::{OffDomain, near_off_domain_questions, off_domain_questions};
pub use runbooks::{runbook_questions, runbooks};
