//! Words, times and sizes made fit for people.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
pub(crate) use zipnet_proto::terminal::{payload, tame};

/// A payload for programs: (text, `utf8` or `base64`).
pub(crate) fn encoded(bytes: &[u8]) -> (String, &'static str) {
    match str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf8"),
        Err(_) => (STANDARD.encode(bytes), "base64"),
    }
}

/// Milliseconds since the Unix epoch as UTC, to the second.
pub(crate) fn moment(ms: u64) -> String {
    match SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)) {
        // The formatter ends with the year 9999.
        Some(time) if ms < 253_402_300_800_000 => humantime::format_rfc3339_seconds(time).to_string(),
        _ => format!("{ms} ms after 1970"),
    }
}

/// Milliseconds as `2m 3s`, to the second.
pub(crate) fn span(ms: u64) -> String {
    humantime::format_duration(Duration::from_secs(ms / 1000)).to_string()
}

/// Bytes as `12.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["bytes", "KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        // What would be rounded up to 1024.0 belongs to the larger unit.
        if value < 1023.95 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

/// A field of the API in which nothing is said by an empty text.
pub(crate) fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// `1 message`, `2 messages`.
pub(crate) fn count(n: u32, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_never_panic() {
        assert_eq!(moment(1_770_000_000_000), "2026-02-02T02:40:00Z");
        assert_eq!(moment(u64::MAX), format!("{} ms after 1970", u64::MAX));
        assert_eq!(moment(253_402_300_799_999), "9999-12-31T23:59:59Z");
        assert_eq!(span(123_456), "2m 3s");
        assert_eq!(span(999), "0s");
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(size(u64::MAX), "17179869184.0 GiB");
        assert_eq!(count(1, "byte"), "1 byte");
        assert_eq!(count(0, "byte"), "0 bytes");
    }
}
