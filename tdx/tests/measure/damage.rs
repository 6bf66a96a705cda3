//! Nothing that is damaged is measured as if it were whole.

use proptest::prelude::*;
use sha2::{Digest as _, Sha384};
use zipnet_tdx::measure::mrtd::mrtd;
use zipnet_tdx::measure::tdvf::{self, MAX_FIRMWARE, TdvfError, sections};
use zipnet_tdx::measure::{Boot, MeasureError, PageOrder, pe, predict, rtmr};

use super::made::{FIRST, firmware, kernel};

#[test]
fn the_record_of_each_page() {
    let firmware = firmware();
    let sections = sections(&firmware).unwrap();
    let record = |name: &[u8], address: u64| {
        let mut record = [0; 128];
        record[..name.len()].copy_from_slice(name);
        record[16..24].copy_from_slice(&address.to_le_bytes());
        record
    };
    let extend = |hash: &mut Sha384, page: usize| {
        for at in (page..page + 4096).step_by(256) {
            hash.update(record(b"MR.EXTEND", 0xffff_0000 + at as u64));
            hash.update(&firmware[at..at + 256]);
        }
    };
    for order in [PageOrder::SinglePass, PageOrder::TwoPasses] {
        let mut hash = Sha384::new();
        hash.update(record(b"MEM.PAGE.ADD", 0xffff_0000));
        if order == PageOrder::SinglePass {
            extend(&mut hash, 0);
        }
        hash.update(record(b"MEM.PAGE.ADD", 0xffff_1000));
        if order == PageOrder::TwoPasses {
            extend(&mut hash, 0);
        }
        extend(&mut hash, 4096);
        hash.update(record(b"MEM.PAGE.ADD", 0x80_0000));
        assert_eq!(mrtd(&firmware, &sections, order), <[u8; 48]>::from(hash.finalize()), "{}", order.name());
    }
}

#[test]
fn authenticode_leaves_out_checksum_and_signature_only() {
    let whole = kernel();
    let hash = pe::authenticode(&whole).unwrap();
    let mut expected = Sha384::new();
    expected.update(&whole[..0x58 + 64]);
    expected.update(&whole[0x58 + 68..0x58 + 144]);
    expected.update(&whole[0x58 + 152..whole.len() - 8]);
    assert_eq!(hash, <[u8; 48]>::from(expected.finalize()));
    let free = |at: usize| (0x58 + 64..0x58 + 68).contains(&at) || at >= whole.len() - 8;
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut other = whole.clone();
            other[at] ^= 1 << bit;
            match pe::authenticode(&other) {
                Ok(same) if same == hash => assert!(free(at), "bit {bit} of byte {at} is not covered"),
                Ok(_) | Err(_) => assert!(!free(at), "bit {bit} of byte {at} is covered"),
            }
        }
    }
}

#[test]
fn sections_that_cannot_be_are_refused() {
    let with = |at: usize, bytes: &[u8]| {
        let mut firmware = firmware();
        firmware[FIRST + at..FIRST + at + bytes.len()].copy_from_slice(bytes);
        sections(&firmware)
    };
    let second = 32;
    let cases: [(usize, &[u8], &str); 12] = [
        (0, &[1, 0, 1], "outside of the file"),
        (4, &[0, 0x10], "does not fit its kind"),
        (8, &[1], "whole pages"),
        (8, &[0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "address space"),
        (16, &[1], "whole pages"),
        (16, &[0, 0], "whole pages"),
        (24, &[4], "kind"),
        (28, &[3], "attributes"),
        (second + 8, &[0, 0x10, 0xff, 0xff], "overlaps"),
        (second + 16, &[0, 0x10, 0, 4], "larger than"),
        (second + 24, &[0], "does not fit its kind"),
        (second + 24, &[2, 0, 0, 0, 1], "what the host writes"),
    ];
    for (at, bytes, what) in cases {
        let error = with(at, bytes).unwrap_err();
        assert!(
            matches!(error, TdvfError::BadSection { .. }) && error.to_string().contains(what),
            "{at}: {error}"
        );
    }
    assert_eq!(with(28, &[0]), Err(TdvfError::NothingMeasured));
    assert_eq!(
        with(second + 16, &[0, 0xe0, 0xff, 3]).map(|all| all.len()),
        Ok(2),
        "64 MiB together are the most"
    );
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let with = |at: usize, bytes: &[u8]| {
        let mut firmware = firmware();
        firmware[at..at + bytes.len()].copy_from_slice(bytes);
        sections(&firmware)
    };
    let end = firmware().len();
    assert!(matches!(with(8192, b"X"), Err(TdvfError::BadMetadata(_))));
    assert!(matches!(with(8192 + 4, &[1]), Err(TdvfError::BadMetadata(_))));
    assert!(matches!(with(8192 + 8, &[2]), Err(TdvfError::BadMetadata(_))));
    for count in [0, tdvf::MAX_SECTIONS as u8 + 1] {
        assert!(matches!(with(8192 + 12, &[count]), Err(TdvfError::BadMetadata(_))));
    }
    assert_eq!(with(end - 40, &[1]), Err(TdvfError::NoTable));
    assert_eq!(with(end - 50, &[0xff, 0xff]), Err(TdvfError::BadTable));
    assert_eq!(with(end - 50, &[17, 0]), Err(TdvfError::BadTable));
    // The table without the one entry that matters.
    assert_eq!(with(end - 50, &[38, 0]), Err(TdvfError::NoMetadata));
    assert_eq!(sections(&vec![0; MAX_FIRMWARE + 1]), Err(TdvfError::TooBig(MAX_FIRMWARE + 1)));
    assert_eq!(sections(&vec![0; MAX_FIRMWARE]), Err(TdvfError::NoTable));
}

#[test]
fn command_lines_that_could_change_on_the_way_are_refused() {
    for bad in [" a", "a ", "a\n", "ä", "a\0"] {
        assert!(rtmr::initramfs_events(bad, b"x").is_err(), "{bad:?}");
    }
    let longest = "a".repeat(rtmr::MAX_COMMAND_LINE);
    assert!(rtmr::initramfs_events(&longest, b"x").is_ok());
    assert!(rtmr::initramfs_events(&format!("{longest}a"), b"x").is_err());
    let (firmware, kernel) = (firmware(), kernel());
    let boot = Boot { firmware: &firmware, kernel: &kernel, initramfs: b"", command_line: "a" };
    assert!(matches!(predict(boot, PageOrder::SinglePass), Err(MeasureError::EmptyInitramfs)));
    let full = predict(Boot { initramfs: b"x", ..boot }, PageOrder::SinglePass).unwrap();
    let word = predict(Boot { initramfs: b"x", command_line: "a b", ..boot }, PageOrder::SinglePass).unwrap();
    assert!(full.rtmr2 != word.rtmr2 && full.rtmr1 == word.rtmr1 && full.mrtd == word.mrtd);
}

#[test]
fn no_part_of_a_firmware_or_a_kernel_is_one() {
    let (firmware, kernel) = (firmware(), kernel());
    for end in 0..firmware.len() {
        assert!(sections(&firmware[..end]).is_err(), "{end}");
    }
    for end in 0..kernel.len() {
        assert!(pe::authenticode(&kernel[..end]).is_err(), "{end}");
    }
}

proptest! {
    /// Whatever stands in the headers: a typed error, or sections that lie within the file.
    #[test]
    fn garbled_firmware_never_panics(changes in proptest::collection::vec((8192_usize..8192 + 172, any::<u8>()), 1..8)) {
        let mut garbled = firmware();
        for (at, byte) in changes {
            garbled[at] = byte;
        }
        if let Ok(sections) = sections(&garbled) {
            prop_assert!(sections.iter().map(|section| section.size).sum::<u64>() <= tdvf::MAX_MEMORY);
            mrtd(&garbled, &sections, PageOrder::SinglePass);
        }
    }

    #[test]
    fn a_garbled_kernel_never_panics(changes in proptest::collection::vec((0_usize..512, any::<u8>()), 1..8)) {
        let mut garbled = kernel();
        for (at, byte) in changes {
            garbled[at] = byte;
        }
        let _ = pe::authenticode(&garbled);
    }

    #[test]
    fn noise_is_neither(noise in proptest::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(sections(&noise).is_err() && pe::authenticode(&noise).is_err());
    }
}
