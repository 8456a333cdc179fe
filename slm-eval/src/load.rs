//! How a model keeps up with many requests at once: [`measure_load`].

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use slm_core::{ChatRequest, LanguageModel, Usage};

use crate::latency::LatencyStats;
use crate::resources::{EnergyMeter, peak_memory, reset_peak_memory};
use crate::{Error, Result};

/// When requests come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Arrivals {
    /// Each client asks again as soon as it has its answer: shows the most that the model can do.
    Closed {
        /// Clients at the same time.
        clients: usize,
    },
    /// Requests come at random, independent of each other and of the answers (a Poisson process), as from many
    /// people. A request counts from when it came, also while all clients are busy with others: a slow model is not
    /// asked more gently.
    Open {
        /// Requests per second on average.
        per_second: f64,
        /// Most requests that are answered at the same time.
        clients: usize,
    },
}

/// What users were promised; what is not given does not count.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objective {
    /// Most seconds until the first text.
    pub first_text: Option<f64>,
    /// Most seconds between pieces of text, on average over an answer.
    pub between: Option<f64>,
    /// Most seconds for the whole answer.
    pub total: Option<f64>,
}

/// How the load is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadConfig {
    /// When requests come.
    pub arrivals: Arrivals,
    /// How many requests are made; the given ones are asked in turn, again from the first after the last.
    pub requests: usize,
    /// What users were promised.
    #[serde(default)]
    pub objective: Objective,
    /// Seed of the arrivals.
    #[serde(default)]
    pub seed: u64,
}

/// One request under load. Seconds are counted from when it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Until a client was free to ask it.
    pub queued: f64,
    /// Until the first text; `None` where there was none.
    pub first_text: Option<f64>,
    /// Between each piece of text, a token where the model is local, and the next.
    pub between: Vec<f64>,
    /// Until the answer was complete, or failed.
    pub total: f64,
    /// Tokens read and written.
    pub usage: Usage,
    /// Why it failed.
    pub error: Option<String>,
}

/// How a model kept up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Name of the model.
    pub model: String,
    /// How the load was made.
    pub config: LoadConfig,
    /// From the first request to the last answer, in seconds.
    pub seconds: f64,
    /// Requests that failed.
    pub failed: usize,
    /// Seconds until the first text (TTFT), of those that gave any.
    pub first_text: Option<LatencyStats>,
    /// Seconds between pieces of text (ITL), all answers together.
    pub between: Option<LatencyStats>,
    /// Seconds for the whole answer, failed ones included.
    pub total: LatencyStats,
    /// Seconds that requests waited for a free client.
    pub queued: LatencyStats,
    /// Answers per second that did not fail.
    pub requests_per_second: f64,
    /// Tokens written per second.
    pub tokens_per_second: f64,
    /// Answers per second that kept the promise (Zhong et al. 2024); a failed one keeps none.
    pub goodput: f64,
    /// Most bytes that the process held; `None` where the system does not tell.
    pub peak_memory: Option<u64>,
    /// Joules that the processors took, with all that ran beside; `None` where the machine does not tell.
    pub joules: Option<f64>,
    /// Every request, in the order in which they came.
    pub timings: Vec<Timing>,
}

/// Asks `model` the `requests` as the configuration says, and measures.
///
/// # Errors
/// When there are no requests or clients, a rate is not positive, or there is nothing to sum up. A request that fails
/// is counted.
pub fn measure_load(
    model: &(dyn LanguageModel + Sync),
    requests: &[ChatRequest],
    config: &LoadConfig,
) -> Result<LoadReport> {
    if requests.is_empty() || config.requests == 0 {
        return Err(Error::Empty { what: "requests" });
    }
    let (clients, due) = schedule(config)?;
    reset_peak_memory();
    let energy = EnergyMeter::start();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(config.requests)));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..clients.min(config.requests) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= config.requests {
                        break;
                    }
                    let came = due.get(index).map_or_else(Instant::now, |due| start + *due);
                    thread::sleep(came.saturating_duration_since(Instant::now()));
                    let timing = ask(model, &requests[index % requests.len()], came);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, timing));
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let mut timings = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    timings.sort_by_key(|(index, _)| *index);
    let timings = timings.into_iter().map(|(_, timing)| timing).collect();
    let joules = energy.and_then(|meter| meter.joules());
    LoadReport::of(model.name(), config, timings, seconds).map(|report| LoadReport {
        peak_memory: peak_memory(),
        joules,
        ..report
    })
}

/// Clients, and when each request comes; a closed load has no times.
fn schedule(config: &LoadConfig) -> Result<(usize, Vec<Duration>)> {
    let (clients, rate) = match config.arrivals {
        Arrivals::Closed { clients } => (clients, None),
        Arrivals::Open { per_second, clients } => (clients, Some(per_second)),
    };
    if clients == 0 {
        return Err(Error::Setting { name: "clients", expected: "1 or more", got: "0".into() });
    }
    let Some(rate) = rate else { return Ok((clients, Vec::new())) };
    if !(rate.is_finite() && rate > 0.0) {
        let got = rate.to_string();
        return Err(Error::Setting { name: "per_second", expected: "a positive number", got });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let mut at = 0.0;
    let mut arrival = || {
        at -= (1.0 - rng.random::<f64>()).ln() / rate;
        Duration::try_from_secs_f64(at).unwrap_or(Duration::MAX)
    };
    Ok((clients, (0..config.requests).map(|_| arrival()).collect()))
}

fn ask(model: &dyn LanguageModel, request: &ChatRequest, came: Instant) -> Timing {
    let since = |then: Instant| then.saturating_duration_since(came).as_secs_f64();
    let queued = since(Instant::now());
    let (mut first_text, mut last, mut between) = (None, None, Vec::new());
    let response = model.stream(request, &mut |text| {
        let now = Instant::now();
        // Pieces before the first text are parts of the prompt that were read.
        match last.replace(now) {
            _ if first_text.is_none() && text.is_empty() => last = None,
            Some(last) => between.push(now.duration_since(last).as_secs_f64()),
            None => first_text = Some(since(now)),
        }
        ControlFlow::Continue(())
    });
    let total = since(Instant::now());
    let (usage, error) = match response {
        Ok(response) => (response.usage, None),
        Err(error) => (Usage::default(), Some(error.to_string())),
    };
    Timing { queued, first_text, between, total, usage, error }
}

impl Timing {
    /// Whether the answer came, and as soon as promised.
    pub fn keeps(&self, objective: &Objective) -> bool {
        let within = |most: Option<f64>, took: Option<f64>| most.is_none_or(|m| took.is_some_and(|t| t <= m));
        let mean = self.between.iter().sum::<f64>() / self.between.len().max(1) as f64;
        self.error.is_none()
            && within(objective.first_text, self.first_text)
            && within(objective.between, Some(mean))
            && within(objective.total, Some(self.total))
    }
}

impl LoadReport {
    /// Sums up requests that took `seconds` in all; without memory and energy.
    ///
    /// # Errors
    /// When there are none, or the time is not positive.
    pub fn of(model: &str, config: &LoadConfig, timings: Vec<Timing>, seconds: f64) -> Result<Self> {
        if !(seconds.is_finite() && seconds > 0.0) {
            let got = seconds.to_string();
            return Err(Error::Setting { name: "seconds", expected: "a positive number", got });
        }
        let stats =
            |values: Vec<f64>| if values.is_empty() { Ok(None) } else { LatencyStats::of(&values).map(Some) };
        let failed = timings.iter().filter(|t| t.error.is_some()).count();
        let kept = timings.iter().filter(|t| t.keeps(&config.objective)).count();
        let written: usize = timings.iter().map(|t| t.usage.completion_tokens).sum();
        Ok(Self {
            model: model.into(),
            config: config.clone(),
            seconds,
            failed,
            first_text: stats(timings.iter().filter_map(|t| t.first_text).collect())?,
            between: stats(timings.iter().flat_map(|t| t.between.iter().copied()).collect())?,
            total: LatencyStats::of(&timings.iter().map(|t| t.total).collect::<Vec<_>>())?,
            queued: LatencyStats::of(&timings.iter().map(|t| t.queued).collect::<Vec<_>>())?,
            requests_per_second: (timings.len() - failed) as f64 / seconds,
            tokens_per_second: written as f64 / seconds,
            goodput: kept as f64 / seconds,
            peak_memory: None,
            joules: None,
            timings,
        })
    }
}
