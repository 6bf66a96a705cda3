//! *Old stores open*, and a newer one is refused with a clear text.

use std::fs;

use super::{answers, offline};

#[test]
fn an_old_store_opens_and_a_newer_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = offline(dir.path());
    daemon.start();
    answers(&daemon);
    let status = daemon.status().unwrap();
    assert_eq!(status["instance"], "dev");
    assert_eq!(status["deployment"], "2b5749be5ab82f114e3b86627b44058cdcdf0573a7309419d0475e9c3bed4380");
    let queue = &status["queue"];
    assert_eq!(queue["published"], 1, "{queue}");
    // What was queued with a time to live of a week has expired since, or will: it is never forgotten.
    let rest = ["queued", "expired"].map(|state| queue[state].as_u64().unwrap());
    assert_eq!(rest.iter().sum::<u64>(), 4, "{queue}");
    // The request id of then stands for the message of then.
    let again = daemon.json(&["send", "kept for a week", "--request-id", "golden-1"]).unwrap();
    assert_eq!(again[0]["duplicate"], true);
    assert_eq!(again[0]["message_id"], "01a203b4-3703-7000-9b65-0d3ec46bbdf6");
    assert!(daemon.process().stop().success());

    fs::write(dir.path().join("state/client/data/FORMAT"), "9\n").unwrap();
    let out = daemon.check();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(4), "{errors}");
    assert!(errors.contains("has format 9; this version knows formats up to"), "{errors}");
}
