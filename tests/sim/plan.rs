//! What a seed makes: sizes, parameters, how rough it gets, who is hostile.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zipnet_dcnet::params::{Params, majority};

use crate::hostile::{AggregatorRole, ClientRole, ServerRole};

/// Something that is broken on purpose, for the tests that show that it is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// The committee opens and unblinds with one participant less than it may.
    TooFew,
    /// Clients' stores say that something is synced before it is.
    ClientForgetsSync,
    /// Servers' stores do.
    ServerForgetsMarks,
    /// A server skips an entry of the log.
    SkipsEntry,
    /// A client starts twice from the same random bytes, as a restored virtual machine does.
    SameSeedTwice,
    /// Whoever owns a message sends it again when it is told that it was read.
    SendsExposedAgain,
    /// A server makes up a second partial.
    SecondPartial,
    /// A server signs a commitment to a fold that the log did not commit.
    OtherFold,
    /// The leader loses every fold, also when all faults have ended.
    NeverFolds,
    /// Servers say of every abandoned round that nothing left.
    DeniesPartials,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) servers: usize,
    pub(crate) aggregators: usize,
    pub(crate) clients: usize,
    pub(crate) params: Params,
    /// What the checks hold the committee to.
    pub(crate) min_participants: u32,
    /// Rounds that are opened at least.
    pub(crate) rounds: u64,
    /// Faults come so often, in milliseconds on average; none when 0.
    pub(crate) fault_every: u64,
    /// A client gets a message so often, in milliseconds on average.
    pub(crate) message_every: u64,
    /// Clients keep their identity when they start again.
    pub(crate) sealed_storage: bool,
    pub(crate) hostile_server: Option<(usize, ServerRole)>,
    pub(crate) hostile_aggregator: Option<(usize, AggregatorRole)>,
    pub(crate) hostile_client: Option<(usize, ClientRole)>,
    pub(crate) mutation: Option<Mutation>,
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        // Its own generator, so that a change here does not shift what the world draws.
        let mut rng = ChaCha20Rng::seed_from_u64(seed ^ 0x706c_616e);
        let mut below = |n: u64| rng.next_u64() % n;
        let servers = if below(8) == 0 { 5 } else { 3 };
        let clients = 4 + below(4) as usize;
        let aggregators = 1 + below(2) as usize;
        let all = below(3) == 0;
        let params = Params {
            // Room for nearly all, or for so few that most lose.
            slots: if below(4) == 0 { 2 } else { clients as u32 },
            slot_bytes: 24,
            cells: 48,
            min_servers: if all { servers as u32 } else { majority(servers as u32) },
            min_participants: 2 + below(2) as u32,
            min_anonymity: 3,
            warm_up: below(3) as u32,
            absence_limit: [4, 12, 32][below(3) as usize],
            retain: [20, 28_800][below(2) as usize],
            ..Params::dev(servers as u32)
        };
        let fault_every = [0, 600, 1_500, 4_000, 10_000][below(5) as usize];
        let message_every = 1_000 + below(6_000);
        let sealed_storage = below(2) == 0;
        let server = (below(4) == 0).then(|| (below(servers as u64) as usize, ServerRole::draw(below(100))));
        let aggregator =
            (below(3) == 0).then(|| (below(aggregators as u64) as usize, AggregatorRole::draw(below(100))));
        let client = (below(4) == 0).then(|| (below(clients as u64) as usize, ClientRole::draw(below(100))));
        Self {
            seed,
            servers,
            aggregators,
            clients,
            min_participants: params.min_participants,
            params,
            rounds: 100,
            fault_every,
            message_every,
            sealed_storage,
            hostile_server: server,
            hostile_aggregator: aggregator,
            hostile_client: client,
            mutation: None,
        }
    }

    /// A plan without faults or hostile nodes, for tests that add their own.
    pub(crate) fn calm(seed: u64) -> Self {
        Self {
            fault_every: 0,
            hostile_server: None,
            hostile_aggregator: None,
            hostile_client: None,
            ..Self::of(seed)
        }
    }
}
