//! Numbers, amounts with units and dates, as values: `3.5 km` is `3,500 metres`, `twelve` is `12`.

/// Something counted, measured or dated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Quantity {
    /// A number in the base unit of its kind: `""` counts, `"m"`, `"g"`, `"s"`, `"byte"`, `"%"` or a currency.
    Amount { value: f64, unit: &'static str, is_rough: bool },
    /// A date, as far as it is known.
    Date { year: Option<u32>, month: Option<u32>, day: Option<u32> },
    /// A name with digits, such as `E4102`, in lower case.
    Code(String),
}

/// Units and how much of the base unit they are; sorted.
const UNITS: [(&str, &str, f64); 80] = [
    ("b", "byte", 1.0),
    ("byte", "byte", 1.0),
    ("bytes", "byte", 1.0),
    ("centimeters", "m", 0.01),
    ("centimetres", "m", 0.01),
    ("cm", "m", 0.01),
    ("day", "s", 86_400.0),
    ("days", "s", 86_400.0),
    ("dollar", "$", 1.0),
    ("dollars", "$", 1.0),
    ("euro", "€", 1.0),
    ("euros", "€", 1.0),
    ("feet", "m", 0.3048),
    ("foot", "m", 0.3048),
    ("ft", "m", 0.3048),
    ("g", "g", 1.0),
    ("gb", "byte", 1e9),
    ("gib", "byte", 1_073_741_824.0),
    ("gram", "g", 1.0),
    ("grams", "g", 1.0),
    ("h", "s", 3600.0),
    ("hour", "s", 3600.0),
    ("hours", "s", 3600.0),
    ("hr", "s", 3600.0),
    ("hrs", "s", 3600.0),
    ("inch", "m", 0.0254),
    ("inches", "m", 0.0254),
    ("kb", "byte", 1e3),
    ("kg", "g", 1e3),
    ("kib", "byte", 1024.0),
    ("kilogram", "g", 1e3),
    ("kilograms", "g", 1e3),
    ("kilometer", "m", 1e3),
    ("kilometers", "m", 1e3),
    ("kilometre", "m", 1e3),
    ("kilometres", "m", 1e3),
    ("km", "m", 1e3),
    ("lb", "g", 453.592_37),
    ("lbs", "g", 453.592_37),
    ("m", "m", 1.0),
    ("mb", "byte", 1e6),
    ("meter", "m", 1.0),
    ("meters", "m", 1.0),
    ("metre", "m", 1.0),
    ("metres", "m", 1.0),
    ("mg", "g", 1e-3),
    ("mib", "byte", 1_048_576.0),
    ("mile", "m", 1609.344),
    ("miles", "m", 1609.344),
    ("millimeters", "m", 1e-3),
    ("millimetres", "m", 1e-3),
    ("millisecond", "s", 1e-3),
    ("milliseconds", "s", 1e-3),
    ("min", "s", 60.0),
    ("mins", "s", 60.0),
    ("minute", "s", 60.0),
    ("minutes", "s", 60.0),
    ("mm", "m", 1e-3),
    ("month", "month", 1.0),
    ("months", "month", 1.0),
    ("ms", "s", 1e-3),
    ("percent", "%", 1.0),
    ("percentage", "%", 1.0),
    ("pound", "pound", 1.0),
    ("pounds", "pound", 1.0),
    ("s", "s", 1.0),
    ("sec", "s", 1.0),
    ("second", "s", 1.0),
    ("seconds", "s", 1.0),
    ("secs", "s", 1.0),
    ("t", "g", 1e6),
    ("tb", "byte", 1e12),
    ("tib", "byte", 1_099_511_627_776.0),
    ("ton", "g", 1e6),
    ("tonnes", "g", 1e6),
    ("week", "s", 604_800.0),
    ("weeks", "s", 604_800.0),
    ("yard", "m", 0.9144),
    ("year", "month", 12.0),
    ("years", "month", 12.0),
];

/// Words of numbers; sorted.
const WORDS: [(&str, f64); 32] = [
    ("billion", 1e9),
    ("dozen", 12.0),
    ("eight", 8.0),
    ("eighteen", 18.0),
    ("eighty", 80.0),
    ("eleven", 11.0),
    ("fifteen", 15.0),
    ("fifty", 50.0),
    ("five", 5.0),
    ("forty", 40.0),
    ("four", 4.0),
    ("fourteen", 14.0),
    ("hundred", 100.0),
    ("million", 1e6),
    ("nine", 9.0),
    ("nineteen", 19.0),
    ("ninety", 90.0),
    ("seven", 7.0),
    ("seventeen", 17.0),
    ("seventy", 70.0),
    ("six", 6.0),
    ("sixteen", 16.0),
    ("sixty", 60.0),
    ("ten", 10.0),
    ("thirteen", 13.0),
    ("thirty", 30.0),
    ("thousand", 1e3),
    ("three", 3.0),
    ("trillion", 1e12),
    ("twelve", 12.0),
    ("twenty", 20.0),
    ("two", 2.0),
];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const ROUGH: [&str; 10] =
    ["about", "almost", "approximately", "around", "circa", "nearly", "over", "roughly", "some", "~"];

/// All of a text, in order.
pub(crate) fn quantities(text: &str) -> Vec<Quantity> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let rest = tokens.get(at..).unwrap_or_default();
        let is_rough =
            at.checked_sub(1).and_then(|b| tokens.get(b)).is_some_and(|t| ROUGH.contains(&t.as_str()));
        let (quantity, used) = date(rest).or_else(|| amount(rest, is_rough)).unwrap_or_else(|| {
            let code = rest.first().filter(|token| token.contains(|c: char| c.is_ascii_digit()));
            (code.map(|code| Quantity::Code(code.clone())), 1)
        });
        found.extend(quantity);
        at += used.max(1);
    }
    found
}

/// Pieces in lower case, without the punctuation around them.
fn tokens(text: &str) -> Vec<String> {
    let is_break = |c: char| c.is_whitespace() || "()[]/–—".contains(c);
    let trimmed = |piece: &str| {
        piece.trim_matches(|c: char| !c.is_alphanumeric() && !"$€£%~".contains(c)).to_lowercase()
    };
    let mut out = Vec::new();
    for piece in text.split(is_break).map(trimmed).filter(|piece| !piece.is_empty()) {
        let digits_only =
            piece.split('-').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        let is_word = !piece.contains(|c: char| c.is_ascii_digit());
        if piece.contains('-') && (is_word || digits_only && iso_date(&piece).is_none()) {
            out.extend(piece.split('-').filter(|p| !p.is_empty()).map(str::to_owned));
        } else {
            out.push(piece);
        }
    }
    out
}

fn iso_date(token: &str) -> Option<Quantity> {
    let mut parts = token.split('-').map(str::parse::<u32>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let fits = parts.next().is_none() && (1000..3000).contains(&year) && (1..=12).contains(&month);
    fits.then_some(Quantity::Date { year: Some(year), month: Some(month), day: Some(day) })
}

/// `3 March 2020`, `March 3, 2020`, `March 2020`, `March 3`, `2020-03-03`.
fn date(tokens: &[String]) -> Option<(Option<Quantity>, usize)> {
    let at = |n: usize| tokens.get(n).map(String::as_str);
    let month =
        |n: usize| at(n).and_then(|t| (1_u32..).zip(MONTHS).find(|(_, name)| *name == t)).map(|(m, _)| m);
    let year = |n: usize| at(n).and_then(|t| t.parse().ok()).filter(|y| (1000..3000).contains(y));
    let day = |n: usize| {
        let digits = at(n)?.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        digits.parse().ok().filter(|d| (1..=31).contains(d))
    };
    if let Some(iso) = at(0).and_then(iso_date) {
        return Some((Some(iso), 1));
    }
    let date = |year, month, day, used| Some((Some(Quantity::Date { year, month, day }), used));
    match (month(0), month(1)) {
        (Some(own), _) => match (day(1), year(1)) {
            (Some(d), _) => date(year(2), Some(own), Some(d), 2 + usize::from(year(2).is_some())),
            (None, Some(y)) => date(Some(y), Some(own), None, 2),
            // Without a number `May` and `March` may be anything.
            (None, None) => None,
        },
        (None, Some(own)) => {
            let d = day(0)?;
            date(year(2), Some(own), Some(d), 2 + usize::from(year(2).is_some()))
        }
        (None, None) => None,
    }
}

fn amount(tokens: &[String], is_rough: bool) -> Option<(Option<Quantity>, usize)> {
    let (mut value, mut unit, mut used) = figure(tokens.first()?).or_else(|| spelled(tokens))?;
    while let Some(times) = tokens.get(used).and_then(|t| word(t)).filter(|times| *times >= 100.0) {
        value *= times;
        used += 1;
    }
    if unit.is_empty()
        && let Some((base, factor)) = tokens.get(used).and_then(|t| unit_of(t))
    {
        (unit, value, used) = (base, value * factor, used + 1);
    }
    Some((Some(Quantity::Amount { value, unit, is_rough }), used))
}

/// A number in digits, with what is written to it: `$5`, `97%`, `3.5s`, `1,000`, `1990s`, `3rd`.
fn figure(token: &str) -> Option<(f64, &'static str, usize)> {
    let (currency, rest) = match token.chars().next()? {
        '$' => ("$", token.get(1..)?),
        '€' => ("€", token.get('€'.len_utf8()..)?),
        '£' => ("pound", token.get('£'.len_utf8()..)?),
        '~' => ("", token.get(1..)?),
        _ => ("", token),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.').unwrap_or(rest.len());
    let (digits, suffix) = rest.split_at_checked(end)?;
    let value: f64 = digits.trim_end_matches(['.', ',']).replace(',', "").parse().ok()?;
    match suffix {
        "" | "st" | "nd" | "rd" | "th" => Some((value, currency, 1)),
        "s" if digits.len() == 4 && digits.ends_with('0') => Some((value, "", 1)),
        "%" => Some((value, "%", 1)),
        "k" => Some((value * 1e3, currency, 1)),
        "bn" => Some((value * 1e9, currency, 1)),
        "m" if !currency.is_empty() => Some((value * 1e6, currency, 1)),
        _ => unit_of(suffix).map(|(unit, factor)| (value * factor, unit, 1)),
    }
}

/// A number in words: `twenty five`, `two hundred`.
fn spelled(tokens: &[String]) -> Option<(f64, &'static str, usize)> {
    let first = tokens.first().and_then(|t| word(t)).filter(|value| *value < 100.0)?;
    let next = tokens.get(1).and_then(|t| word(t)).filter(|value| *value < 10.0 && first >= 20.0);
    Some((first + next.unwrap_or(0.0), "", 1 + usize::from(next.is_some())))
}

fn word(token: &str) -> Option<f64> {
    let place = WORDS.binary_search_by(|(word, _)| (*word).cmp(token)).ok()?;
    WORDS.get(place).map(|(_, value)| *value)
}

fn unit_of(token: &str) -> Option<(&'static str, f64)> {
    if token == "%" {
        return Some(("%", 1.0));
    }
    let place = UNITS.binary_search_by(|(name, ..)| (*name).cmp(token)).ok()?;
    UNITS.get(place).map(|(_, base, factor)| (*base, *factor))
}

/// Whether a word in lower case is a number or a unit, which are compared as quantities and not as words.
pub(crate) fn is_quantity_word(token: &str) -> bool {
    token.contains(|c: char| c.is_ascii_digit()) || word(token).is_some() || unit_of(token).is_some()
}

impl Quantity {
    /// Whether `other` says this: the same value, the same day as far as this one tells, the same name. An amount
    /// without a unit fits one with any.
    pub(crate) fn is_said_by(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Amount { value, unit, is_rough },
                Self::Amount { value: other, unit: other_unit, is_rough: other_rough },
            ) => {
                let tolerance = if *is_rough || *other_rough { 0.05 } else { 1e-9 };
                let fits = unit == other_unit || unit.is_empty() || other_unit.is_empty();
                fits && (value - other).abs() <= tolerance * value.abs().max(other.abs())
            }
            (Self::Date { year, month, day }, Self::Date { year: y, month: m, day: d }) => {
                let agrees = |own: &Option<u32>, other: &Option<u32>| own.is_none() || own == other;
                agrees(year, y) && agrees(month, m) && agrees(day, d)
            }
            (Self::Amount { value, unit: "", .. }, Self::Date { year: Some(year), .. }) => {
                (value - f64::from(*year)).abs() < 0.5
            }
            (Self::Code(own), Self::Code(other)) => own == other,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(UNITS.is_sorted_by(|a, b| a.0 < b.0) && WORDS.is_sorted_by(|a, b| a.0 < b.0));
    }

    fn says(evidence: &str, claim: &str) -> bool {
        let known = quantities(evidence);
        let asked = quantities(claim);
        assert!(!asked.is_empty(), "nothing to compare in {claim}");
        asked.iter().all(|asked| known.iter().any(|known| asked.is_said_by(known)))
    }

    #[test]
    fn values_are_compared_and_not_strings() {
        for (evidence, claim, expected) in [
            ("The road is 3.5 km long.", "It is 3,500 metres long.", true),
            ("The road is 3.5 km long.", "It is 3.5 miles long.", false),
            ("Wait ninety seconds.", "Wait 1.5 minutes.", true),
            ("Wait 90 s (E4102).", "Error e4102: wait 90s.", true),
            ("Twenty-five people came.", "25 people came.", true),
            ("It cost $1.2 million.", "The price was 1,200,000 dollars.", true),
            ("It cost $1.2 million.", "The price was €1.2 million.", false),
            ("97% of disks", "97 percent of disks", true),
            ("It has 3,512 seats.", "It has about 3,500 seats.", true),
            ("It has 3,512 seats.", "It has 3,500 seats.", false),
            ("Born on 3 March 1920.", "Born March 3, 1920.", true),
            ("Born on 1920-03-03.", "Born in March 1920.", true),
            ("Born on 3 March 1920.", "Born in 1920.", true),
            ("Born on 3 March 1920.", "Born on 4 March 1920.", false),
            ("Two hundred thousand years", "200,000 years", true),
            ("Restart web-03.", "Restart web-04.", false),
            ("The 1990s", "In the 1990s", true),
            ("From 10-20 metres", "Up to 20 m", true),
        ] {
            assert_eq!(says(evidence, claim), expected, "{evidence} {claim}: {:?}", quantities(claim));
        }
    }

    #[test]
    fn words_alone_are_no_quantities() {
        assert!(quantities("He may march on. One by one, e.g. again.").is_empty());
    }
}
