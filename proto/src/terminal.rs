//! Words of strangers, made fit for a terminal.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

/// Characters that move the cursor, start escape sequences, or reorder or hide what stands around them.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => write!(out, "\\u{{{:x}}}", u32::from(c)).expect("invariant: a String takes everything"),
    }
}

/// A text for one line of a terminal: what is unsafe there is escaped.
pub fn tame(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| if is_unsafe(c) { escape(&mut out, c) } else { out.push(c) });
    out
}

/// A payload, written by anybody, for a terminal: as [`tame`], and a backslash is doubled, so that nothing a stranger
/// types looks like an escape of ours. What is not UTF-8 is marked and in base64. The blank before the text belongs to
/// the text only, so no text can look like a mark.
pub fn payload(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "[empty]".into();
    }
    let Ok(text) = str::from_utf8(bytes) else { return format!("[base64] {}", STANDARD.encode(bytes)) };
    let mut out = String::from(" ");
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if is_unsafe(c) => escape(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_get_no_control_of_the_terminal() {
        assert_eq!(payload("héllo 👋".as_bytes()), " héllo 👋");
        assert_eq!(payload(b"\x1b[2Jx\r\n\ty\x7f"), " \\u{1b}[2Jx\\r\\n\\ty\\u{7f}");
        assert_eq!(
            payload("a\u{9b}31m\u{202e}b\u{2066}\u{200b}\u{feff}".as_bytes()),
            " a\\u{9b}31m\\u{202e}b\\u{2066}\\u{200b}\\u{feff}"
        );
        assert_eq!(payload(b"a\\n"), " a\\\\n");
        assert_eq!(payload(&[0xff, 0x1b]), "[base64] /xs=");
        assert_eq!(payload(b"[base64] /xs="), " [base64] /xs=");
        assert_eq!(payload(b""), "[empty]");
        assert_eq!(tame("C:\\x\u{1b}c"), "C:\\x\\u{1b}c");
    }
}
