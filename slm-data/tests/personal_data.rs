//! Personal data at known places among text: precision and recall of each kind.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm_data::{PiiKind, find_pii};

const N: usize = 300;

fn number(rng: &mut ChaCha8Rng, digits: usize) -> String {
    (0..digits).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect()
}

fn pick<'a>(rng: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    of[rng.random_range(0..of.len())]
}

fn letters(rng: &mut ChaCha8Rng, n: usize) -> String {
    (0..n).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

/// The number with the last digit that the Luhn check asks for.
fn luhn(mut body: String) -> String {
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| {
            let digit = u32::from(byte - b'0') * if at % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    body += &((10 - sum % 10) % 10).to_string();
    body
}

fn modulo(digits: &str, by: u64) -> u64 {
    digits.bytes().fold(0, |rest, byte| (rest * 10 + u64::from(byte - b'0')) % by)
}

fn iban(rng: &mut ChaCha8Rng) -> String {
    let (country, codes, digits) =
        [("DE", "1314", 18), ("GB", "1611", 0), ("FR", "1527", 23), ("NL", "2321", 0)]
            [rng.random_range(0..4)];
    let (bank, body) = match country {
        "GB" => ("WEST", number(rng, 14)),
        "NL" => ("ABNA", number(rng, 10)),
        _ => ("", number(rng, digits)),
    };
    let as_digits: String = bank.bytes().map(|b| (b - b'A' + 10).to_string()).collect::<String>() + &body;
    let check = 98 - modulo(&format!("{as_digits}{codes}00"), 97);
    let compact = format!("{country}{check:02}{bank}{body}");
    if rng.random_range(0..2) == 0 {
        return compact;
    }
    let groups: Vec<String> =
        compact.as_bytes().chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
    groups.join(" ")
}

fn card(rng: &mut ChaCha8Rng) -> String {
    let prefix = pick(rng, &["4", "51", "2221", "6011"]);
    let body = number(rng, 15 - prefix.len());
    let full = luhn(format!("{prefix}{body}"));
    let separator = pick(rng, &["", " ", "-"]);
    let groups: Vec<&str> = (0..4).map(|at| &full[at * 4..at * 4 + 4]).collect();
    groups.join(separator)
}

fn national(rng: &mut ChaCha8Rng) -> String {
    let date = |rng: &mut ChaCha8Rng| {
        (rng.random_range(1..=28), rng.random_range(1..=12), rng.random_range(40..=99))
    };
    match rng.random_range(0..8) {
        0 => format!(
            "{:03}-{:02}-{:04}",
            rng.random_range(1..=665),
            rng.random_range(1..=99),
            rng.random_range(1..=9999)
        ),
        1 => {
            let n = number(rng, 8);
            let at = usize::try_from(modulo(&n, 23)).unwrap_or_default();
            format!("{n}{}", &"TRWAGMYFPDXBNJZSQVHLCKE"[at..=at])
        }
        2 => {
            let mut n = format!(
                "{}{:02}{:02}{}",
                rng.random_range(1..=2),
                rng.random_range(0..=99),
                rng.random_range(1..=12),
                number(rng, 8)
            );
            n += &format!("{:02}", 97 - modulo(&n, 97));
            n
        }
        3 => {
            let (day, month, year) = date(rng);
            let n = luhn(format!("{year:02}{month:02}{day:02}{}", number(rng, 3)));
            format!("{}-{}", &n[..6], &n[6..])
        }
        4 => {
            let (day, month, year) = date(rng);
            let n = format!("{day:02}{month:02}{year:02}{:03}", rng.random_range(2..=899));
            let at = usize::try_from(modulo(&n, 31)).unwrap_or_default();
            format!("{}-{}{}", &n[..6], &n[6..], &"0123456789ABCDEFHJKLMNPRSTUVWXY"[at..=at])
        }
        5 => {
            let mut n = number(rng, 9);
            for length in [9, 10] {
                let sum: usize =
                    n.bytes().enumerate().map(|(at, b)| usize::from(b - b'0') * (length + 1 - at)).sum();
                n += &(sum * 10 % 11 % 10).to_string();
            }
            format!("{}.{}.{}-{}", &n[..3], &n[3..6], &n[6..9], &n[9..])
        }
        6 => {
            let (day, month, year) = date(rng);
            let n = format!("11010519{year:02}{month:02}{day:02}{}", number(rng, 3));
            let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
            let sum: usize = n.bytes().zip(weights).map(|(b, w)| usize::from(b - b'0') * w).sum();
            format!("{n}{}", &"10X98765432"[sum % 11..=sum % 11])
        }
        _ => {
            let n = number(rng, 6);
            format!(
                "{}{} {} {} {} {}",
                pick(rng, &["AB", "CE", "JG", "PR"]),
                "",
                &n[..2],
                &n[2..4],
                &n[4..],
                pick(rng, &["A", "B", "C", "D"])
            )
            .replacen("  ", " ", 1)
        }
    }
}

fn email(rng: &mut ChaCha8Rng) -> String {
    let name = letters(rng, 5);
    let middle = pick(rng, &["", ".", "_", "+news-"]);
    let rest = letters(rng, 4);
    let host = pick(rng, &["example.org", "mail.example.co.uk", "ex-ample.de", "müller.example"]);
    format!("{name}{middle}{rest}@{host}")
}

fn phone(rng: &mut ChaCha8Rng) -> String {
    let n = number(rng, 4);
    match rng.random_range(0..5) {
        0 => format!("+49 30 5{}{} {n}", number(rng, 1), number(rng, 1)),
        1 => format!("+1 415 555 {n}"),
        2 => format!("(212) 555-{n}"),
        3 => format!("415-555-{n}"),
        _ => format!("+4420794{}{n}", number(rng, 2)),
    }
}

fn secret(rng: &mut ChaCha8Rng) -> String {
    let upper = |rng: &mut ChaCha8Rng, n: usize| letters(rng, n).to_uppercase();
    match rng.random_range(0..4) {
        0 => format!("AKIA{}{}", upper(rng, 12), number(rng, 4)),
        1 => format!("ghp_{}{}", letters(rng, 20), number(rng, 16)),
        2 => format!("sk-{}{}", letters(rng, 16), number(rng, 8)),
        _ => format!("hf_{}{}", letters(rng, 20), number(rng, 12)),
    }
}

fn ip(rng: &mut ChaCha8Rng) -> String {
    (0..4).map(|_| rng.random_range(1..=254).to_string()).collect::<Vec<_>>().join(".")
}

fn ipv6(rng: &mut ChaCha8Rng) -> String {
    let group = |rng: &mut ChaCha8Rng| format!("{:x}", rng.random_range(0x1000..=0xffff));
    let tail = group(rng);
    if rng.random_range(0..2) == 0 {
        format!("2001:db8::{tail}")
    } else {
        format!("2001:db8:{}", (0..6).map(|_| group(rng)).collect::<Vec<_>>().join(":"))
    }
}

/// The same form with a digit that the check refuses, or a form that only looks like one.
fn decoy(rng: &mut ChaCha8Rng) -> String {
    let wrong = |text: String| {
        // Another last digit breaks each of these checks.
        let at = text.rfind(|c: char| c.is_ascii_digit()).unwrap_or(0);
        let digit = (text.as_bytes()[at] - b'0' + 1) % 10;
        format!("{}{digit}{}", &text[..at], &text[at + 1..])
    };
    match rng.random_range(0..10) {
        0 => wrong(card(rng)),
        1 => wrong(iban(rng)),
        2 => format!("2026-03-{:02} 09:26:{:02}", rng.random_range(1..=28), rng.random_range(0..=59)),
        3 => format!(
            "v{}.{}.{}",
            rng.random_range(1..=9),
            rng.random_range(0..=30),
            rng.random_range(0..=9000)
        ),
        4 => format!("{}-{}", number(rng, 8), letters(rng, 4)),
        5 => format!("req-{}-{}-{}", letters(rng, 8), number(rng, 4), letters(rng, 4)),
        6 => format!("17{}", number(rng, 11)),
        7 => format!("{}.{} ms", number(rng, 3), number(rng, 6)),
        8 => format!("ISBN 978-3-16-1{}-0", number(rng, 5)),
        _ => format!("12345678{}", pick(rng, &["A", "B", "C"])),
    }
}

#[test]
fn every_kind_is_found_where_it_stands_and_nowhere_else() {
    type Make = fn(&mut ChaCha8Rng) -> String;
    let kinds: [(PiiKind, Make); 8] = [
        (PiiKind::Email, email),
        (PiiKind::Phone, phone),
        (PiiKind::Card, card),
        (PiiKind::Iban, iban),
        (PiiKind::NationalId, national),
        (PiiKind::Secret, secret),
        (PiiKind::Ipv4, ip),
        (PiiKind::Ipv6, ipv6),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut planted: Vec<Option<(PiiKind, Make)>> =
        kinds.iter().cycle().take(8 * N).map(|kind| Some(*kind)).collect();
    planted.extend(vec![None; 4 * N]);
    // Of each kind: right, wrong, missed.
    let mut counts: BTreeMap<PiiKind, [usize; 3]> = BTreeMap::new();
    let all = PiiKind::ALL.into_iter().collect();
    for plant in planted {
        let value = match plant {
            Some((_, make)) => make(&mut rng),
            None => decoy(&mut rng),
        };
        let before =
            pick(&mut rng, &["Please note ", "Sent by Ann, see (", "row 17: ", "Order of 3 pieces, \"", ""]);
        let after =
            pick(&mut rng, &[" today.", ") again", ", thanks", "\" and more", "", "; status 200 in 31 ms"]);
        let text = format!("{before}{value}{after}");
        let expected = plant.map(|(kind, _)| (before.len(), before.len() + value.len(), kind));
        let found = find_pii(&text, &all);
        let hit = found.iter().any(|f| Some((f.start, f.end, f.kind)) == expected);
        for f in &found {
            let right = Some((f.start, f.end, f.kind)) == expected;
            counts.entry(f.kind).or_default()[usize::from(!right)] += 1;
            if !right {
                println!("wrong: {:?} in {text}", f.kind);
            }
        }
        if let (false, Some((.., kind))) = (hit, expected) {
            println!("missed: {kind:?} in {text}");
            counts.entry(kind).or_default()[2] += 1;
        }
    }
    for (kind, _) in kinds {
        let [right, wrong, missed] = counts.get(&kind).copied().unwrap_or_default().map(|n| n as f64);
        let (precision, recall) = (right / (right + wrong), right / (right + missed));
        println!("{kind:?}: precision {precision:.4}, recall {recall:.4}");
        assert!(
            precision >= 0.98 && recall >= 0.98,
            "{kind:?}: {right} right, {wrong} wrong, {missed} missed"
        );
    }
}

/// Names in the forms that introduce them and once more in the text, beside words that only look like names.
#[test]
fn names_are_found_by_what_introduces_them_and_where_they_stand_again() {
    const FIRST: [&str; 8] = ["Ann", "Bela", "Chidi", "Dörte", "Émile", "Fatima", "Göran", "Hui"];
    const LAST: [&str; 8] =
        ["Ashdown", "Brandt", "Castillo", "Dyck", "Eriksen", "Farouk", "O'Grady", "Huang"];
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let kinds = [PiiKind::Name].into_iter().collect();
    let (mut right, mut wrong, mut missed) = (0.0, 0.0, 0.0);
    for n in 0..N {
        let (first, last) = (pick(&mut rng, &FIRST), pick(&mut rng, &LAST));
        let name = format!("{first} {last}");
        let text = match n % 6 {
            0 => format!("We met Dr. {name} in Paris. The Clinic of {last} is closed on Monday."),
            1 => format!("Dear {first},\nthe Storage Service is down again. {first}, please restart it."),
            2 => format!("The printer of the Third Floor is out.\n\nBest regards,\n{name}\nField Support"),
            3 => format!("Hello, my name is {name} and I use Windows. Call {first} back."),
            4 => format!("Frau {last} fragt nach der Rechnung vom Montag."),
            _ => "Dear Customer,\nThe Java Service and Mount Everest are fine.\nThanks,\nThe Support Team"
                .to_owned(),
        };
        let mut expected: Vec<(usize, usize)> = Vec::new();
        if n % 6 < 5 {
            let parts = if n % 6 == 4 { vec![last] } else { vec![name.as_str(), first, last] };
            for part in parts {
                for (start, _) in text.match_indices(part) {
                    if expected.iter().all(|(s, e)| start + part.len() <= *s || *e <= start) {
                        expected.push((start, start + part.len()));
                    }
                }
            }
        }
        let found: Vec<(usize, usize)> = find_pii(&text, &kinds).iter().map(|f| (f.start, f.end)).collect();
        for span in &found {
            if expected.contains(span) {
                right += 1.0;
            } else {
                println!("wrong: {} in {text:?}", &text[span.0..span.1]);
                wrong += 1.0;
            }
        }
        for span in expected.iter().filter(|span| !found.contains(span)) {
            println!("missed: {} in {text:?}", &text[span.0..span.1]);
            missed += 1.0;
        }
    }
    let (precision, recall) = (right / (right + wrong), right / (right + missed));
    println!("Name: precision {precision:.4}, recall {recall:.4}");
    assert!(precision >= 0.98 && recall >= 0.98, "{right} right, {wrong} wrong, {missed} missed");
}
