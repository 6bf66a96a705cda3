//! What is broken on purpose is caught, by the check that is there for it.

use crate::hostile::ServerRole;
use crate::plan::{Mutation, Plan};
use crate::seeds::run;

/// Runs seeds with the mutation until one fails, as every one of them may need some luck; the name of the check.
fn caught(mutation: Mutation, prepare: fn(&mut Plan)) -> &'static str {
    for seed in 0..12 {
        let mut plan = Plan::calm(seed);
        plan.mutation = Some(mutation);
        prepare(&mut plan);
        if let Err(failure) = run(plan) {
            return failure.violation.name;
        }
    }
    panic!("{mutation:?} is not caught");
}

fn rough(plan: &mut Plan) {
    plan.fault_every = 800;
}

#[test]
fn a_committee_that_unblinds_too_few_is_caught() {
    let prepare = |plan: &mut Plan| {
        (plan.params.min_participants, plan.min_participants) = (2, 3);
    };
    assert_eq!(caught(Mutation::TooFew, prepare), "never too few");
}

#[test]
fn a_client_store_that_forgets_its_sync_is_caught() {
    let name = caught(Mutation::ClientForgetsSync, rough);
    assert!(["accepted means kept", "at most once"].contains(&name), "{name}");
}

#[test]
fn a_server_that_does_not_wait_for_its_disk_is_caught() {
    assert_eq!(caught(Mutation::ServerForgetsMarks, rough), "said once");
}

#[test]
fn a_server_that_skips_an_entry_is_caught() {
    assert_eq!(caught(Mutation::SkipsEntry, |_| {}), "no fork");
}

#[test]
fn a_client_that_starts_twice_from_the_same_randomness_is_caught() {
    assert_eq!(caught(Mutation::SameSeedTwice, |_| {}), "no pad twice");
}

#[test]
fn a_message_that_is_sent_again_after_it_was_read_is_caught() {
    assert_eq!(caught(Mutation::SendsExposedAgain, |_| {}), "at most once");
}

#[test]
fn a_second_partial_is_caught() {
    let name = caught(Mutation::SecondPartial, |_| {});
    assert_eq!(name, "no pad twice");
}

#[test]
fn a_commitment_to_another_fold_is_caught() {
    assert_eq!(caught(Mutation::OtherFold, |_| {}), "never too few");
}

#[test]
fn a_committee_that_never_folds_is_caught() {
    assert_eq!(caught(Mutation::NeverFolds, |_| {}), "progress after healing");
}

#[test]
fn a_server_that_denies_its_partial_is_caught() {
    // Rounds are abandoned with partials in the log.
    let withheld = |plan: &mut Plan| plan.hostile_server = Some((0, ServerRole::Withholds));
    assert_eq!(caught(Mutation::DeniesPartials, withheld), "said once");
}
