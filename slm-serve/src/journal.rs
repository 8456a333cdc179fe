//! The last requests, for the monitoring page.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::registry::now;

/// Requests that are remembered.
const REMEMBERED: usize = 4096;

/// A request that was answered, without what was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// As in the response.
    pub id: String,
    /// Seconds since 1970 at its end.
    pub time: u64,
    /// The model that was named.
    pub model: String,
    /// Who answered.
    pub route: String,
    /// Why it ended, or the kind of error.
    pub outcome: String,
    /// Seconds to the first text.
    pub first_token: Option<f64>,
    /// Seconds in all.
    pub seconds: f64,
    /// Tokens read.
    pub prompt_tokens: usize,
    /// Tokens written.
    pub completion_tokens: usize,
    /// What it cost.
    pub cost: f64,
    /// Mean probability of a token, from 0 to 1, where it is known.
    pub confidence: Option<f64>,
    /// Whether the reader found it good.
    pub good: Option<bool>,
}

/// The last requests.
#[derive(Debug, Default)]
pub struct Journal(Mutex<VecDeque<Record>>);

/// A figure over one minute.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Minute {
    /// Its first second since 1970.
    pub time: u64,
    /// Requests that ended in it.
    pub requests: usize,
    /// Those that were withheld or failed.
    pub withheld: usize,
    /// Median seconds of a request.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Mean cost of a request.
    pub cost: f64,
    /// Mean confidence, where it is known.
    pub confidence: Option<f64>,
    /// Share of good answers among those that were judged.
    pub good: Option<f64>,
}

impl Journal {
    pub(crate) fn push(&self, record: Record) {
        self.with(|all| {
            all.push_back(record);
            if all.len() > REMEMBERED {
                all.pop_front();
            }
        });
    }

    /// What a reader thought of the answer `id`; false where it is not remembered.
    pub fn judge(&self, id: &str, good: bool) -> bool {
        self.with(|all| match all.iter_mut().rev().find(|r| r.id == id) {
            Some(record) => {
                record.good = Some(good);
                true
            }
            None => false,
        })
    }

    /// The last `count` requests, the newest first.
    pub fn last(&self, count: usize) -> Vec<Record> {
        self.with(|all| all.iter().rev().take(count).cloned().collect())
    }

    /// The last `count` minutes in which there was a request, the oldest first.
    pub fn minutes(&self, count: usize) -> Vec<Minute> {
        let first = (now() / 60).saturating_sub(count as u64 - 1);
        self.with(|all| {
            let recent: Vec<&Record> = all.iter().filter(|r| r.time / 60 >= first).collect();
            recent.chunk_by(|a, b| a.time / 60 == b.time / 60).map(minute).collect()
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut VecDeque<Record>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn minute(records: &[&Record]) -> Minute {
    let mut seconds: Vec<f64> = records.iter().map(|r| r.seconds).collect();
    seconds.sort_unstable_by(f64::total_cmp);
    let rank = |share: f64| ((share * seconds.len() as f64).ceil() as usize).clamp(1, seconds.len()) - 1;
    let mean =
        |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let judged = records.iter().filter_map(|r| r.good).map(|good| f64::from(u8::from(good)));
    Minute {
        time: records[0].time / 60 * 60,
        requests: records.len(),
        withheld: records
            .iter()
            .filter(|r| !matches!(r.outcome.as_str(), "stop" | "length" | "tool_calls"))
            .count(),
        p50: seconds[rank(0.5)],
        p99: seconds[rank(0.99)],
        cost: records.iter().map(|r| r.cost).sum::<f64>() / records.len() as f64,
        confidence: mean(records.iter().filter_map(|r| r.confidence).collect()),
        good: mean(judged.collect()),
    }
}
