//! Small files made here: a firmware and a kernel of which everything is known.

/// A firmware with two sections: code of two pages, which is measured, and one page of scratch memory, which is not.
pub(crate) fn firmware() -> Vec<u8> {
    let mut out: Vec<u8> = (0..8192_u32).map(|at| (at / 7) as u8).collect();
    let metadata = out.len();
    out.extend(b"TDVF");
    for number in [16 + 2 * 32, 1, 2_u32] {
        out.extend(number.to_le_bytes());
    }
    out.extend(section(0, 8192, 0xffff_0000, 8192, 0, 1));
    out.extend(section(0, 0, 0x80_0000, 4096, 3, 0));
    // Another entry of the table, to be skipped; the one that matters; the footer.
    let start = out.len();
    let guid =
        [0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2];
    let footer =
        [0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d];
    // From the end of the file: 32 bytes of reset vector, the footer, an entry of 20 bytes, and this one's tail and number.
    let length = start + 22 + 20 + 18 + 32;
    out.extend(((length - metadata) as u32).to_le_bytes());
    out.extend(22_u16.to_le_bytes());
    out.extend(guid);
    out.extend([1, 2]);
    out.extend(20_u16.to_le_bytes());
    out.extend([9; 16]);
    out.extend(((22 + 20 + 18) as u16).to_le_bytes());
    out.extend(footer);
    out.extend([0xf4; 32]);
    assert_eq!(out.len(), length);
    out
}

/// Where the first section's entry is in [`firmware`].
pub(crate) const FIRST: usize = 8192 + 16;

fn section(data: u32, size: u32, address: u64, memory: u64, kind: u32, attributes: u32) -> Vec<u8> {
    let mut out = [data.to_le_bytes(), size.to_le_bytes()].concat();
    out.extend([address.to_le_bytes(), memory.to_le_bytes()].concat());
    out.extend([kind.to_le_bytes(), attributes.to_le_bytes()].concat());
    out
}

/// An EFI application with two sections in the wrong order, 16 bytes behind them, and a signature.
pub(crate) fn kernel() -> Vec<u8> {
    let mut out = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[0x40]);
    put(0x40, b"PE\0\0");
    put(0x44, &[0x64, 0x86, 2, 0]);
    put(0x54, &[160, 0]);
    put(0x58, &[0x0b, 0x02]);
    put(0x58 + 60, &512_u32.to_le_bytes());
    put(0x58 + 64, &[0xaa; 4]);
    put(0x58 + 108, &[6]);
    put(0x58 + 144, &(512_u32 + 64 + 32 + 16).to_le_bytes());
    put(0x58 + 148, &[8]);
    for (number, (size, start)) in [(32_u32, 512_u32 + 64), (64, 512)].into_iter().enumerate() {
        put(0x58 + 160 + 40 * number + 16, &size.to_le_bytes());
        put(0x58 + 160 + 40 * number + 20, &start.to_le_bytes());
    }
    out.extend(0..64 + 32 + 16_u8);
    out.extend([0xbb; 8]);
    out
}
