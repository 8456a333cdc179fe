//! The domain: triage of log lines. The answer is a JSON object with five keys in a fixed order.
//!
//! `service`, `host` and `code` are copied from the line (they can be checked against the question);
//! `severity` and `action` follow the team's policy, one entry of [`FAULTS`] per error code, which no
//! model can know before it has been trained: the `ERROR` or `WARN` of the line does not tell.

use std::collections::BTreeSet;

use slm_data::Example;

use super::dice::Dice;

/// The services that write log lines. Any of them can meet any fault.
pub const SERVICES: [&str; 8] =
    ["auth", "billing", "storage", "gateway", "search", "queue", "cache", "mailer"];

const HOST_ROLES: &[&str] = &["web", "db", "api", "app", "node", "edge", "job", "core"];
const KEYS: [&str; 5] = ["service", "host", "code", "severity", "action"];
const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
const WORDINGS: &[&str] = &["Triage this log line: {}", "Triage: {}"];

/// A kind of fault and what the team decided to do about it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Error code in the log line: `E4102`.
    pub code: &'static str,
    /// Decided severity: one of [`severities`].
    pub severity: &'static str,
    /// Decided action: one of [`actions`].
    pub action: &'static str,
    phrasings: [&'static str; 3],
}

const fn fault(
    code: &'static str,
    severity: &'static str,
    action: &'static str,
    phrasings: [&'static str; 3],
) -> Fault {
    Fault { code, severity, action, phrasings }
}

/// The team's policy: every fault, its severity and its action.
pub static FAULTS: [Fault; 12] = [
    fault(
        "E4102",
        "high",
        "clean_disk",
        ["disk usage {pct} on {path}", "no space left on {path}", "{path} is {pct} full"],
    ),
    fault(
        "E2307",
        "medium",
        "block_ip",
        [
            "login failed for user {user} from {ip}",
            "{n} failed logins from {ip}",
            "bad password for user {user}, {n} tries",
        ],
    ),
    fault(
        "E5120",
        "medium",
        "retry_later",
        [
            "request to {ip} timed out after {ms}",
            "no reply from {ip} in {ms}",
            "upstream {ip} too slow: {ms}",
        ],
    ),
    fault(
        "E6001",
        "critical",
        "restart_service",
        ["out of memory at {n} MB", "worker killed, memory {pct} used", "cannot allocate {n} MB"],
    ),
    fault(
        "E3310",
        "low",
        "renew_cert",
        [
            "certificate expires in {d} days",
            "certificate of {ip} ends in {d} days",
            "TLS warning: {d} days left",
        ],
    ),
    fault(
        "E7204",
        "medium",
        "scale_out",
        ["backlog of {n} jobs", "{n} jobs waiting, oldest {ms}", "all workers busy, {n} jobs queued"],
    ),
    fault(
        "E1408",
        "low",
        "fix_config",
        [
            "unknown key {user} in {path}",
            "config {path} ignored: bad key {user}",
            "cannot parse {path} line {n}",
        ],
    ),
    fault(
        "E8815",
        "high",
        "kill_query",
        [
            "deadlock on table {user} after {ms}",
            "query {n} blocks table {user}",
            "lock wait on table {user}: {ms}",
        ],
    ),
    fault(
        "E9003",
        "high",
        "resync_replica",
        ["replica {ip} is {n} rows behind", "replication lag {ms} on {ip}", "replica {ip} lost position {n}"],
    ),
    fault(
        "E2750",
        "low",
        "raise_limit",
        ["rate limit hit by {user}: {n} calls", "too many calls from {ip}", "quota of {user} {pct} used"],
    ),
    fault(
        "E5533",
        "critical",
        "switch_dns",
        [
            "cannot resolve {user}.local",
            "name lookup of {user}.local failed after {ms}",
            "no answer from resolver {ip}",
        ],
    ),
    fault(
        "E6642",
        "critical",
        "roll_back",
        [
            "worker exited with code {n}",
            "crash loop: {n} restarts in {ms}",
            "start failed {n} times after deploy",
        ],
    ),
];

/// One line of a log and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEvent {
    /// What went wrong.
    pub fault: &'static Fault,
    /// The service that wrote the line: one of [`SERVICES`].
    pub service: &'static str,
    /// The machine: `web-03`.
    pub host: String,
    /// The line: `2026-03-14 09:26:53 web-03 storage[4121] ERROR E4102 disk usage 97% on /var/data`.
    pub line: String,
    /// The line inside a request for triage.
    pub question: String,
}

impl LogEvent {
    fn roll(dice: &mut Dice) -> Self {
        let fault = &FAULTS[dice.index(FAULTS.len())];
        let service = dice.pick(&SERVICES);
        let host = dice.host(HOST_ROLES);
        let phrasing = dice.pick(&fault.phrasings);
        let message = fill(phrasing, dice);
        let line = format!(
            "{} {} {host} {service}[{}] {} {} {message}",
            dice.date(),
            dice.time(),
            dice.number(100, 9999),
            dice.pick(&["ERROR", "WARN"]),
            fault.code,
        );
        let question = dice.pick(WORDINGS).replace("{}", &line);
        Self { fault, service, host, line, question }
    }

    /// The right answer: compact JSON with the keys of [`answer_keys`], in that order.
    pub fn answer(&self) -> String {
        let Fault { code, severity, action, .. } = self.fault;
        let (service, host) = (self.service, &self.host);
        format!(
            r#"{{"service":"{service}","host":"{host}","code":"{code}","severity":"{severity}","action":"{action}"}}"#
        )
    }

    /// Events of one group (code and host) belong on one side of a split: `E4102/web-03`.
    pub fn group(&self) -> String {
        format!("{}/{}", self.fault.code, self.host)
    }

    /// The question and the right answer, in its group.
    pub fn example(&self) -> Example {
        Example::pair(self.question.as_str(), self.answer(), "generator:triage").in_group(self.group())
    }
}

fn fill(phrasing: &str, dice: &mut Dice) -> String {
    let mut text = phrasing.to_owned();
    for (slot, value) in [
        ("{pct}", format!("{}%", dice.number(80, 99))),
        ("{path}", format!("/{}/{}", dice.pick(&["var", "srv", "etc", "opt"]), dice.word())),
        ("{user}", dice.word()),
        ("{ip}", dice.ip()),
        ("{ms}", format!("{}ms", dice.number(100, 9999))),
        ("{n}", dice.number(3, 999).to_string()),
        ("{d}", dice.number(2, 30).to_string()),
    ] {
        text = text.replace(slot, &value);
    }
    text
}

/// `n` events with different questions.
pub fn log_events(n: usize, seed: u64) -> Vec<LogEvent> {
    distinct_events(n, seed, 20, |_| true)
}

/// As [`log_events`], of another stream, and only those that `keep` accepts.
pub(super) fn distinct_events(
    n: usize,
    seed: u64,
    stream: u64,
    keep: impl Fn(&LogEvent) -> bool,
) -> Vec<LogEvent> {
    let mut dice = Dice::new(seed, stream);
    let mut seen = BTreeSet::new();
    let mut events = Vec::with_capacity(n);
    while events.len() < n {
        let event = LogEvent::roll(&mut dice);
        if keep(&event) && seen.insert(event.question.clone()) {
            events.push(event);
        }
    }
    events
}

/// `n` clean examples of the domain with different questions.
///
/// Split them by [`Example::group`] (code and host): then a test question has a combination of host,
/// code and numbers that training never saw.
pub fn domain_examples(n: usize, seed: u64) -> Vec<Example> {
    log_events(n, seed).iter().map(LogEvent::example).collect()
}

/// The keys of an answer, in order.
pub fn answer_keys() -> [&'static str; 5] {
    KEYS
}

/// The keys whose value must stand in the question.
pub fn grounded_keys() -> [&'static str; 3] {
    [KEYS[0], KEYS[1], KEYS[2]]
}

/// The severities of the policy, lowest first.
pub fn severities() -> [&'static str; 4] {
    SEVERITIES
}

/// The actions of the policy, one per fault.
pub fn actions() -> [&'static str; 12] {
    FAULTS.each_ref().map(|fault| fault.action)
}

/// The values that a key of the answer may take; `None` for the host, which is free, and for unknown keys.
pub fn allowed_values(key: &str) -> Option<Vec<&'static str>> {
    match key {
        "service" => Some(SERVICES.to_vec()),
        "code" => Some(FAULTS.iter().map(|fault| fault.code).collect()),
        "severity" => Some(SEVERITIES.to_vec()),
        "action" => Some(actions().to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value};

    fn object(answer: &str) -> Map<String, Value> {
        serde_json::from_str(answer).unwrap_or_default()
    }

    #[test]
    fn equal_seeds_give_equal_examples_with_different_questions() {
        let examples = domain_examples(2000, 3);
        assert_eq!(examples, domain_examples(2000, 3));
        assert_ne!(examples, domain_examples(2000, 4));
        let questions: BTreeSet<&str> = examples.iter().map(Example::question).collect();
        assert_eq!(questions.len(), 2000);
    }

    #[test]
    fn answers_follow_the_schema_and_stand_in_the_question() {
        for example in domain_examples(3000, 1) {
            let (question, answer) = (example.question(), object(example.answer()));
            assert_eq!(answer.len(), 5, "{}", example.answer());
            let places: Vec<_> =
                KEYS.iter().map(|key| example.answer().find(&format!("\"{key}\":"))).collect();
            assert!(places.is_sorted() && places.iter().all(Option::is_some));
            for key in KEYS {
                let value = answer[key].as_str().unwrap_or_default();
                assert!(allowed_values(key).is_none_or(|allowed| allowed.contains(&value)), "{key}: {value}");
                assert!(!grounded_keys().contains(&key) || question.contains(value), "{key}: {value}");
            }
        }
    }

    #[test]
    fn lines_have_no_open_slot_and_name_one_service_before_the_bracket() {
        for event in log_events(3000, 8) {
            assert!(!event.line.contains(['{', '}']), "{}", event.line);
            let fields: Vec<&str> = event.line.split(' ').collect();
            assert_eq!(fields[2], event.host);
            assert_eq!(fields[3].split('[').next(), Some(event.service));
            assert_eq!(fields[5], event.fault.code);
        }
    }

    #[test]
    fn codes_and_actions_are_unique_and_levels_do_not_tell_the_severity() {
        let codes: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.code).collect();
        let actions: BTreeSet<&str> = actions().into_iter().collect();
        assert_eq!((codes.len(), actions.len()), (12, 12));
        let seen: BTreeSet<_> =
            log_events(2000, 2).iter().map(|e| (e.fault.severity, e.line.contains(" WARN "))).collect();
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn examples_are_short() {
        let examples = domain_examples(1000, 1);
        let words =
            |e: &Example| e.question().split_whitespace().count() + e.answer().split_whitespace().count();
        let chars: usize = examples.iter().map(|e| e.question().len() + e.answer().len()).sum();
        let total: usize = examples.iter().map(words).sum();
        println!("triage: mean {} words, {} characters", total / examples.len(), chars / examples.len());
        assert!(examples.iter().all(|e| words(e) <= 45));
    }
}
