//! Values that were computed by other means (docs/tdx/measurements.md), for the files that the builder uses.

use sha2::{Digest as _, Sha256};
use zipnet_tdx::image::inputs::{FIRMWARE, FIRMWARE_PATH, KERNEL, KERNEL_PATH};
use zipnet_tdx::measure::mrtd::mrtd;
use zipnet_tdx::measure::tdvf::{Kind, sections};
use zipnet_tdx::measure::{PageOrder, pe, rtmr};

use super::inputs;

#[test]
fn mrtd_of_the_pinned_firmware() {
    let firmware =
        inputs().files(&FIRMWARE, &[FIRMWARE_PATH]).unwrap_or_else(|error| panic!("{error}")).remove(0);
    assert_eq!(
        hex::encode(Sha256::digest(&firmware)),
        "14954040cc754ade0c625ac3470ea46d4c14318b5b1396de4ef77090203d76db"
    );
    let sections = sections(&firmware).unwrap();
    let measured: Vec<Kind> =
        sections.iter().filter(|section| section.extend).map(|section| section.kind).collect();
    assert_eq!(measured, [Kind::Code], "the variables are RTMR0's");
    assert_eq!(
        hex::encode(mrtd(&firmware, &sections, PageOrder::SinglePass)),
        "bdc6fb145880f06f30c8b346b8dce2a99d9351b56892df22f80fcf6574caa9f9c31df8e8576d53b4d0cd1c3f28910e11"
    );
    assert_eq!(
        hex::encode(mrtd(&firmware, &sections, PageOrder::TwoPasses)),
        "456f07902150d008bb913c3e1e84e9297f735a6c83cd2a957a1f0a8bbedb06df188e3837ae48d32c73d473d097dc0db2"
    );
}

/// Debian signs its kernels: the signature's own digest is what the Authenticode hash has to be. It is a SHA-256, so the bytes that are
/// hashed are compared by way of the SHA-256 of the same ranges.
#[test]
fn the_kernel_is_hashed_as_its_signature_says() {
    let kernel = inputs().files(&KERNEL, &[KERNEL_PATH]).unwrap_or_else(|error| panic!("{error}")).remove(0);
    let mut said = Sha256::new();
    pe::hashed(&kernel, &mut said).unwrap();
    let said = said.finalize();
    let security = kernel.len() - 4096;
    assert!(kernel[security..].windows(32).any(|window| window == &said[..]), "{}", hex::encode(said));
}

#[test]
fn events_of_the_command_line() {
    let events = rtmr::initramfs_events("a", b"x").unwrap();
    let text: Vec<u8> = "a initrd=initrd\0".bytes().flat_map(|byte| [byte, 0]).collect();
    assert_eq!(events[0].1, zipnet_tdx::measure::sha384(&text));
    assert_eq!(events[1].1, zipnet_tdx::measure::sha384(b"x"));
    // One extension of zeros, by hand.
    let mut register = [0; 96];
    register[48..].copy_from_slice(&events[0].1);
    assert_eq!(rtmr::replay(&events[..1]), zipnet_tdx::measure::sha384(&register));
}
