//! `zipnet-server`: one server of a committee.

fn main() -> anyhow::Result<()> {
    zipnet_committee::cli::main()
}
