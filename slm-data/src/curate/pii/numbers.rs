//! The check digits of cards and bank accounts.

/// Whether digits (at least two) pass the Luhn check.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, &digit)| match (at % 2, u32::from(digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    digits.len() > 1 && sum.is_multiple_of(10)
}

/// Whether prefix and length are those of a card network: Visa, Mastercard, American Express, Discover,
/// Diners Club, JCB or UnionPay.
pub(super) fn is_card_network(digits: &[u8]) -> bool {
    let prefix =
        |n: usize| digits.iter().take(n).fold(0_u32, |number, &digit| number * 10 + u32::from(digit));
    match digits.len() {
        14 => matches!(prefix(2), 36 | 38 | 39) || matches!(prefix(3), 300..=305),
        15 => matches!(prefix(2), 34 | 37),
        16..=19 => {
            let sixteen = digits.len() == 16;
            (prefix(1) == 4 && matches!(digits.len(), 16 | 19))
                || (sixteen && (matches!(prefix(2), 51..=55) || matches!(prefix(4), 2221..=2720)))
                || prefix(4) == 6011
                || matches!(prefix(2), 62 | 65)
                || matches!(prefix(3), 644..=649)
                || matches!(prefix(4), 3528..=3589)
        }
        _ => false,
    }
}

/// Length of an IBAN by its country, from the SWIFT registry; `None` for a country without.
pub(super) fn iban_length(country: &str) -> Option<usize> {
    const LENGTHS: [(usize, &str); 16] = [
        (15, "NO"),
        (16, "BE"),
        (18, "DK FI FO GL NL"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU XK"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS"),
        (23, "AE GI IL IQ TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "LY PT ST"),
        (26, "IS TR"),
        (27, "BI DJ FR GR IT MC MR SM"),
        (28, "AL AZ BY CY DO GT HU LB NI PL SV"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU"),
        (31, "MT SC"),
    ];
    LENGTHS
        .iter()
        .find(|(_, countries)| countries.split(' ').any(|c| c == country))
        .map(|(length, _)| *length)
}

/// Whether letters and digits, without spaces, are an account number that leaves 1 when divided by 97.
pub(super) fn is_iban(compact: &str) -> bool {
    if !compact.is_ascii() || compact.len() < 5 {
        return false;
    }
    let (head, tail) = compact.split_at(4);
    let rest = tail.bytes().chain(head.bytes()).try_fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => Some((rest * 10 + u32::from(byte - b'0')) % 97),
        b'A'..=b'Z' => Some((rest * 100 + u32::from(byte - b'A') + 10) % 97),
        _ => None,
    });
    rest == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect()
    }

    #[test]
    fn luhn_finds_every_wrong_digit() {
        let right = digits("4111111111111111");
        assert!(luhn(&right));
        for at in 0..right.len() {
            for digit in (0..10).filter(|&digit| digit != right[at]) {
                let mut wrong = right.clone();
                wrong[at] = digit;
                assert!(!luhn(&wrong), "{wrong:?}");
            }
        }
    }

    #[test]
    fn networks_have_prefixes_and_lengths() {
        for card in
            ["4111111111111111", "5500000000000004", "2221000000000009", "340000000000009", "30000000000004"]
        {
            assert!(is_card_network(&digits(card)), "{card}");
        }
        for number in ["1700000000123456", "411111111111111", "2026031409265312", "9111111111111111"] {
            assert!(!is_card_network(&digits(number)), "{number}");
        }
    }

    #[test]
    fn account_numbers() {
        assert!(is_iban("GB82WEST12345698765432"));
        assert!(is_iban("DE89370400440532013000"));
        assert!(!is_iban("DE89370400440532013001"));
        assert!(!is_iban("DE8937040044053201300ä"));
        assert_eq!((iban_length("DE"), iban_length("FR"), iban_length("US")), (Some(22), Some(27), None));
    }
}
