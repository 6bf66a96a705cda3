//! `/init` of the guest.

fn main() {
    zipnet_guest::main();
}
