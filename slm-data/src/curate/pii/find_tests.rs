//! Personal data: what is found, and what only looks like it.

use super::*;

fn found(text: &str) -> Vec<(PiiKind, &str)> {
    let kinds =
        PiiKind::ALL.into_iter().filter(|kind| !matches!(kind, PiiKind::Ipv4 | PiiKind::Ipv6)).collect();
    find(text, &kinds).into_iter().map(|f| (f.kind, &text[f.start..f.end])).collect()
}

#[test]
fn addresses_numbers_and_secrets_are_found_in_full() {
    // Put together at run time, so that no scanner takes this file for a leak.
    let github = format!("ghp_{}", "a1B2c3D4e5".repeat(4));
    let amazon = format!("AKIA{}", "ABCDEFGH12345678");
    for (text, kind, value) in [
        ("ask jörg.o-neil+x@mail.example.co.uk.", PiiKind::Email, "jörg.o-neil+x@mail.example.co.uk"),
        ("(reported by +49 30 5550 0123)", PiiKind::Phone, "+49 30 5550 0123"),
        ("call +14155550132 now", PiiKind::Phone, "+14155550132"),
        ("call (415) 555-0132, please", PiiKind::Phone, "(415) 555-0132"),
        ("at 415-555-0132.", PiiKind::Phone, "415-555-0132"),
        ("Tel.: 030 5550123", PiiKind::Phone, "030 5550123"),
        ("phone number is 020 7946 0958;", PiiKind::Phone, "020 7946 0958"),
        ("card 4111 1111 1111 1111 expires", PiiKind::Card, "4111 1111 1111 1111"),
        ("12 2026 4111-1111-1111-1111", PiiKind::Card, "4111-1111-1111-1111"),
        ("{\"card\":\"340000000000009\"}", PiiKind::Card, "340000000000009"),
        ("pay to DE89 3704 0044 0532 0130 00 AND soon", PiiKind::Iban, "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", PiiKind::Iban, "GB82WEST12345698765432"),
        (&format!("use {github}!"), PiiKind::Secret, github.as_str()),
        (&format!("key={amazon}"), PiiKind::Secret, amazon.as_str()),
        ("password: hunter2hunter2, ok", PiiKind::Secret, "hunter2hunter2"),
        ("Authorization: Bearer abcdef0123456789XYZ=", PiiKind::Secret, "abcdef0123456789XYZ="),
    ] {
        assert_eq!(found(text), [(kind, value)], "{text}");
    }
}

#[test]
fn logs_are_not_taken_for_personal_data() {
    for text in [
        "2026-03-14 09:26:53 web-03 storage[4121] ERROR E4102 disk usage 97% on /var/data",
        "2026-03-14T09:26:53.521167+00:00 db-01 kernel[0]: [12345678.901234] eth0: link up 10000 Mbps",
        "Mar 14 09:26:53 node-17 sshd[28841]: Failed password for root from 10.4.0.17 port 51234 ssh2",
        "1700000000123 1700000000123456 1700000000123456789 20260314092653123 ms",
        "- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.675872 RAS KERNEL INFO core.2275",
        "req-38101a0b-2096-447d-96ea-a692162415ae 113d3a99c3da401fbd62cc2caa5b96d2 status: 200 len: 1893",
        "SCSI-WWID:01000010:6005-08b4-0001-00c6-0006-3000-003d-0000 is down",
        "4000-0000-0000-0002-0001 and 0x4111111111111111 and v4111111111111111.2",
        "offset +12345678 delta +0200 range 100-200-3000 sum 1234 5678 9012 3456",
        "token: expired, password=changed, secret: rotation, api_key: 12345678",
        "activity token: android.os.BinderProxy@7b28a0f3 for token=Token{a64f992 ActivityRecord{de9231d u0}}",
        "user@localhost ran git@host:repo on pts/0 at 14.03.2026 09:26",
        "phone 2026-03-14 09:26:53 paired",
        "blk_-1608999687919862906 of size 67108864 from /10.250.19.102",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn neighbours_are_told_apart() {
    let text = "+49 30 5550 1234 4111 1111 1111 1111 +1 415 555 0132, 2026 4711 ann@example.org";
    let expected = [
        (PiiKind::Phone, "+49 30 5550 1234"),
        (PiiKind::Card, "4111 1111 1111 1111"),
        (PiiKind::Phone, "+1 415 555 0132"),
        (PiiKind::Email, "ann@example.org"),
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn internet_addresses_only_when_asked() {
    let kinds = BTreeSet::from([PiiKind::Ipv4]);
    let text = "10.4.0.17 to 999.1.1.1, version 6.1.7601.23505, 1.2.3.4.5, 192.168.0.1:80";
    let hits: Vec<&str> = find(text, &kinds).into_iter().map(|f| &text[f.start..f.end]).collect();
    assert_eq!(hits, ["10.4.0.17", "192.168.0.1"]);
}
