//! One binary for all targets: `ZIPNET_FUZZ_TARGET` names the one, because each further binary would be linked anew.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use zipnet_fuzz::Target;

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("ZIPNET_FUZZ_TARGET").expect("ZIPNET_FUZZ_TARGET names a target");
        zipnet_fuzz::target(&name).unwrap_or_else(|| panic!("there is no target `{name}`"))
    })
}

/// Libfuzzer reads its first inputs from files: the honest values become some.
fn write_seeds() {
    let Ok(folder) = std::env::var("ZIPNET_FUZZ_SEEDS") else { return };
    for (n, seed) in (chosen().seeds)().iter().enumerate() {
        std::fs::write(format!("{folder}/seed-{n:03}"), seed).expect("the folder of seeds can be written");
    }
}

fuzz_target!(init: write_seeds(), |data: &[u8]| (chosen().run)(data));
