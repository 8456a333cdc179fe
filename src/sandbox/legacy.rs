//! The texts that planted rows are answered with: other schemas, prose, refusals, noise, personal data.

use super::dice::Dice;
use super::logs::{FAULTS, LogEvent, severities};

const REFUSALS: &[&str] = &[
    "As an AI language model, I cannot help with that.",
    "I'm sorry, but I can't assist with this request.",
    "I am unable to access your systems, so I cannot answer.",
    "Sorry, as an AI I do not have enough information.",
];
const NAMES: &[&str] = &["ana.silva", "ben.koch", "cora.lind", "d.novak", "eva.marin", "f.berg", "g.rossi"];

/// The answer in the schema of a former tool: other keys, other words, no action.
pub(super) fn old_schema(event: &LogEvent) -> String {
    let level = match event.fault.severity {
        "low" => 4,
        "medium" => 3,
        "high" => 2,
        _ => 1,
    };
    format!(r#"{{"svc":"{}","sev":"P{level}","node":"{}"}}"#, event.service, event.host)
}

/// An answer in prose, always of the same form.
pub(super) fn prose(event: &LogEvent) -> String {
    format!("The {} service seems down, please restart it.", event.service)
}

/// The right answer with one value wrong: not in the line, outside the policy, or another fault's.
pub(super) fn wrong_label(event: &LogEvent, dice: &mut Dice) -> String {
    let right = event.answer();
    let other =
        &FAULTS[(FAULTS.iter().position(|f| f.code == event.fault.code).unwrap_or(0) + 5) % FAULTS.len()];
    let (key, from, to) = match dice.number(0, 6) {
        0 => (
            "service",
            event.service,
            if event.line.contains("search") { "ledger" } else { "search" }.to_owned(),
        ),
        1 => ("host", event.host.as_str(), format!("{}-old", dice.word())),
        2 => ("code", event.fault.code, other.code.to_owned()),
        3 => ("severity", event.fault.severity, "unknown".to_owned()),
        4 => {
            let wrong: Vec<_> = severities().into_iter().filter(|s| *s != event.fault.severity).collect();
            ("severity", event.fault.severity, dice.pick(&wrong).to_owned())
        }
        5 => ("action", event.fault.action, "ask_bob".to_owned()),
        _ => ("action", event.fault.action, other.action.to_owned()),
    };
    right.replace(&format!("\"{key}\":\"{from}\""), &format!("\"{key}\":\"{to}\""))
}

/// The right answer cut off before its end.
pub(super) fn truncated(event: &LogEvent, dice: &mut Dice) -> String {
    let mut answer = event.answer();
    let length = 12 + dice.index(answer.len() - 14);
    answer.truncate(length);
    answer
}

pub(super) fn refusal(dice: &mut Dice) -> String {
    dice.pick(REFUSALS).to_owned()
}

/// Letters at random, or one word over and over.
pub(super) fn gibberish(dice: &mut Dice) -> String {
    if dice.one_in(2) {
        let word = dice.word();
        return vec![word; 24].join(" ");
    }
    let letters: Vec<char> = "qxzjwvkq;#~%&$@xzqvj  ".chars().collect();
    (0..90).map(|_| dice.pick(&letters)).collect()
}

/// A question and an answer in German, French or Spanish.
pub(super) fn foreign(event: &LogEvent, dice: &mut Dice) -> (String, String) {
    let (host, service) = (&event.host, event.service);
    match dice.number(0, 2) {
        0 => (
            format!("Was ist heute Nacht auf dem Rechner {host} passiert und was sollen wir jetzt tun?"),
            format!(
                "Der Dienst {service} antwortet seit einer Stunde nicht mehr. Bitte starten Sie ihn neu."
            ),
        ),
        1 => (
            format!(
                "Que s'est-il passé cette nuit sur la machine {host} et que devons-nous faire maintenant ?"
            ),
            format!(
                "Le service {service} ne répond plus depuis une heure. Veuillez le redémarrer dès ce soir."
            ),
        ),
        _ => (
            format!("¿Qué ha pasado esta noche en la máquina {host} y qué debemos hacer ahora mismo?"),
            format!(
                "El servicio {service} no responde desde hace una hora. Por favor, reinícielo esta tarde."
            ),
        ),
    }
}

/// Personal data, invented: an address, a telephone number or a card number that passes the Luhn check.
pub(super) fn personal(dice: &mut Dice) -> String {
    match dice.number(0, 2) {
        0 => format!("{}@example.com", dice.pick(NAMES)),
        1 => format!("+49 30 5550 {:04}", dice.number(0, 9999)),
        _ => card(dice),
    }
}

fn card(dice: &mut Dice) -> String {
    let mut digits = vec![4, 0, 0, 0, 0, 0];
    digits.extend((0..9).map(|_| dice.number(0, 9)));
    let sum: u32 = digits.iter().enumerate().map(|(at, &digit)| luhn(digit, at % 2 == 0)).sum();
    digits.push((10 - sum % 10) % 10);
    let text: Vec<String> =
        digits.chunks(4).map(|four| four.iter().map(ToString::to_string).collect()).collect();
    text.join(" ")
}

fn luhn(digit: u32, doubled: bool) -> u32 {
    if !doubled {
        return digit;
    }
    let twice = digit * 2;
    if twice > 9 { twice - 9 } else { twice }
}

#[cfg(test)]
mod tests {
    use super::super::logs::log_events;
    use super::*;
    use serde_json::Value;

    #[test]
    fn wrong_labels_parse_and_differ_from_the_right_answer() {
        let mut dice = Dice::new(1, 0);
        for event in log_events(500, 1) {
            let wrong = wrong_label(&event, &mut dice);
            assert_ne!(wrong, event.answer());
            assert!(serde_json::from_str::<Value>(&wrong).is_ok_and(|v| v.is_object()), "{wrong}");
        }
    }

    #[test]
    fn truncated_answers_do_not_parse_and_old_ones_do() {
        let mut dice = Dice::new(2, 0);
        for event in log_events(500, 2) {
            assert!(serde_json::from_str::<Value>(&truncated(&event, &mut dice)).is_err());
            assert!(serde_json::from_str::<Value>(&old_schema(&event)).is_ok_and(|v| v.get("svc").is_some()));
        }
    }

    #[test]
    fn card_numbers_pass_the_luhn_check() {
        let mut dice = Dice::new(3, 0);
        for _ in 0..100 {
            let text = card(&mut dice);
            let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
            assert_eq!(digits.len(), 16);
            let sum: u32 = digits.iter().rev().enumerate().map(|(at, &d)| luhn(d, at % 2 == 1)).sum();
            assert_eq!(sum % 10, 0, "{text}");
        }
    }
}
