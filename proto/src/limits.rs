//! Bounds of the control API, the same for both sides.

use std::time::Duration;

/// Largest request in bytes that the daemon decodes and the client encodes. A payload is a slot at most, far below.
pub const MAX_GRPC_REQUEST_BYTES: usize = 256 * 1024;

/// Longest payload that fits into such a request, in bytes. What a deployment takes is less, see `max_payload` in Status.
pub const MAX_PAYLOAD_BYTES: usize = MAX_GRPC_REQUEST_BYTES - 1024;

/// Largest response, or item of a stream, in bytes.
pub const MAX_GRPC_RESPONSE_BYTES: usize = 1024 * 1024;

/// Longest request id in bytes.
pub const MAX_REQUEST_ID_BYTES: usize = 64;

/// Longest wait of one `Get`; the daemon cuts what is above.
pub const MAX_GET_WAIT: Duration = Duration::from_secs(30);

/// Most messages in one answer of `List`; the daemon cuts what is above.
pub const MAX_LIST_PAGE: u32 = 1_000;

/// Whether `id` may name a request: 1 to [`MAX_REQUEST_ID_BYTES`] printable ASCII characters without blanks.
pub fn request_id_is_valid(id: &str) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_at_their_edges() {
        assert!(request_id_is_valid("a"));
        assert!(request_id_is_valid(&"x".repeat(64)));
        assert!(request_id_is_valid("019a0000-0000-7000-8000-000000000000"));
        for bad in ["", " ", "a b", "a\n", "ä", "\u{7f}", &"x".repeat(65)] {
            assert!(!request_id_is_valid(bad), "{bad:?}");
        }
    }
}
