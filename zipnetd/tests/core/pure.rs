//! The core is pure: what the compiler's lints cannot limit to one folder is read here.

#[test]
fn the_core_has_no_clock_no_io_no_global_randomness_and_no_random_order() {
    let banned = [
        "SystemTime",
        "Instant",
        "HashMap",
        "HashSet",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "tokio",
        "rand::",
        "tracing",
        "metrics::",
        "zipnet_store",
        "zipnet_network",
        "zipnet_proto",
        "println",
    ];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/core");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (n, line) in code.enumerate() {
            let found = banned.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{} line {n}: {found:?} in the core", path.display());
        }
        files += 1;
    }
    assert!(files > 20, "{files} files in {folder}");
}
