//! `zipnet-aggregator`: folds the envelopes of a deployment.

fn main() -> anyhow::Result<()> {
    zipnet_aggregator::cli::main()
}
