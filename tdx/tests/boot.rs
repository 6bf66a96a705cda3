//! The prediction against a boot: what firmware and kernel really extended into a TPM, while the launcher's files booted.
//!
//! `tdx/check-boot` boots, and then runs this (it is ignored otherwise). Under TDX the same code of firmware and kernel extends RTMRs where it extends
//! PCRs here: RTMR1 takes PCRs 2 to 6, RTMR2 takes PCRs 8 to 15.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use zipnet_tdx::image::COMMAND_LINE;
use zipnet_tdx::measure::{Digest, rtmr, sha384};

/// What swtpm wrote (`--log level=20`): each command as a headline and lines of hex.
fn extends(log: &str) -> Vec<(u32, Digest)> {
    let mut out = Vec::new();
    for command in log.split("SWTPM_IO_Read: length ").skip(1) {
        let lines = command.lines().skip(1).take_while(|line| line.starts_with(' ') && !line.contains(':'));
        let bytes: Vec<u8> = lines
            .flat_map(str::split_whitespace)
            .map_while(|byte| u8::from_str_radix(byte, 16).ok())
            .collect();
        out.extend(extend(&bytes));
    }
    out
}

/// `TPM2_PCR_Extend`: tag, length, code, register, authorisation, and a digest for each algorithm (TPM 2.0, part 3).
fn extend(command: &[u8]) -> Option<(u32, Digest)> {
    let word = |at: usize| Some(u32::from_be_bytes(command.get(at..at + 4)?.try_into().ok()?));
    if word(6)? != 0x182 {
        return None;
    }
    let mut at = 18 + word(14)? as usize;
    let count = word(at)?;
    at += 4;
    for _ in 0..count {
        let algorithm = command.get(at..at + 2)?;
        let length = match algorithm {
            [0, 0x04] => 20,
            [0, 0x0b] => 32,
            [0, 0x0c] => 48,
            [0, 0x0d] => 64,
            other => panic!("an algorithm that is not known here: {other:?}"),
        };
        if length == 48 {
            return Some((word(10)?, command.get(at + 2..at + 50)?.try_into().ok()?));
        }
        at += 2 + length;
    }
    panic!("the TPM has no SHA-384");
}

#[test]
#[ignore = "tdx/check-boot boots first"]
fn firmware_and_kernel_extend_what_was_predicted() {
    let folder = PathBuf::from(std::env::var_os("ZIPNET_TDX_BOOT").expect("tdx/check-boot sets it"));
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let all = extends(&String::from_utf8(read("tpm.log")).unwrap());
    let of = |registers: std::ops::RangeInclusive<u32>| -> Vec<Digest> {
        let mut digests: Vec<Digest> = all
            .iter()
            .filter(|(register, _)| registers.contains(register))
            .map(|(_, digest)| *digest)
            .collect();
        // A TPM has a separator in each PCR, an RTMR one for all of them.
        let separator = sha384(&[0; 4]);
        digests.dedup_by(|next, last| *next == separator && next == last);
        digests
    };
    // PCR 10 is the kernel's integrity log, which it keeps only where there is a TPM.
    let measured = [("rtmr1", of(2..=6)), ("rtmr2", [of(8..=9), of(11..=15)].concat())];
    let kernel = rtmr::kernel_events(&read("zipnet-client-vmlinuz")).unwrap();
    let initramfs = rtmr::initramfs_events(COMMAND_LINE, &read("zipnet-client-initramfs.cpio.gz")).unwrap();
    for ((register, digests), events) in measured.into_iter().zip([kernel, initramfs]) {
        println!("{register}");
        for (name, digest) in &events {
            println!("  {name:42} {}…", &hex::encode(digest)[..24]);
        }
        let predicted: Vec<Digest> = events.iter().map(|(_, digest)| *digest).collect();
        assert_eq!(
            digests.iter().map(hex::encode).collect::<Vec<_>>(),
            predicted.iter().map(hex::encode).collect::<Vec<_>>(),
            "{register}: extended (left) and predicted (right)"
        );
        let replayed: Vec<(&str, Digest)> = digests.into_iter().map(|digest| ("", digest)).collect();
        let file = String::from_utf8(read(&format!("zipnet-client-{register}.hex"))).unwrap();
        assert_eq!(hex::encode(rtmr::replay(&replayed)), file.trim(), "{register}");
        println!("  replayed: {}", file.trim());
    }
}
