//! The bytes of every signed statement; request and answer are in `chain.json`.

use borsh::BorshSerialize;
use serde_json::{Value, json};
use zipnet_dcnet::aggregate::{Aggregate, Bitmap};
use zipnet_dcnet::partial::{Commitment, Partial};
use zipnet_dcnet::signed::{Signed, Statement, encode};
use zipnet_dcnet::statement::{Disclosure, Lapse, Policy, Vouch};

use super::{DEPLOYMENT, bundle, case, check, hex, identity, peer_names, peers, rising};

fn signed<T: Statement + BorshSerialize>(seed: u8, mut input: Value, body: T) -> Value {
    input["seed"] = hex(rising(seed)).into();
    input["deployment"] = DEPLOYMENT.to_string().into();
    let output = json!({ "bytes": hex(encode(&Signed::new(&identity(seed), body))) });
    case(T::DOMAIN, &input, &output)
}

#[test]
fn statements() {
    let (deployment, boot, session) = (DEPLOYMENT, rising(1), rising(2));
    let (server, own) = (identity(60).peer_id(), identity(60).server_bundle());
    let client = identity(10).client_bundle();
    let (header_digest, aggregate_digest, digest) = (rising(3), rising(4), rising(5));
    let aggregators = peers(&[70, 71]);
    let mut participants = Bitmap::new(9);
    participants.set(0);
    participants.set(8);
    let vector = rising(6).to_vec();
    let of_round = json!({
        "round": 5, "server": server.to_string(), "header_digest": hex(header_digest),
        "aggregate_digest": hex(aggregate_digest), "nonce": hex(digest), "vector": hex(&vector),
        "commitment": hex(digest),
    });
    check(
        "statements",
        &[
            signed(
                60,
                json!({ "server": server.to_string(), "boot": hex(boot), "client": bundle(&client),
                        "session": hex(session), "digest": hex(digest) }),
                Vouch { deployment, server, boot, client, session, digest },
            ),
            signed(
                60,
                json!({ "server": server.to_string(), "boot": hex(boot), "after": hex(rising(7)),
                        "bundle": bundle(&own) }),
                Lapse { deployment, server, boot, after: rising(7), bundle: own },
            ),
            signed(
                60,
                json!({ "server": server.to_string(), "round": 5, "header_digest": hex(header_digest),
                        "revealed": true }),
                Disclosure { deployment, server, round: 5, header_digest, revealed: true },
            ),
            signed(
                60,
                json!({ "server": server.to_string(), "aggregators": peer_names(&aggregators) }),
                Policy { deployment, server, aggregators },
            ),
            signed(
                70,
                json!({ "round": 5, "header_digest": hex(header_digest), "roster_len": 9,
                        "aggregator": identity(70).peer_id().to_string(), "participants": [0, 8],
                        "vector": hex(&vector) }),
                Aggregate {
                    deployment,
                    round: 5,
                    header_digest,
                    aggregator: identity(70).peer_id(),
                    participants,
                    vector: vector.clone(),
                },
            ),
            signed(
                60,
                of_round.clone(),
                Commitment {
                    deployment,
                    round: 5,
                    server,
                    header_digest,
                    aggregate_digest,
                    commitment: digest,
                },
            ),
            signed(
                60,
                of_round,
                Partial {
                    deployment,
                    round: 5,
                    server,
                    header_digest,
                    aggregate_digest,
                    nonce: digest,
                    vector,
                },
            ),
        ],
    );
}
