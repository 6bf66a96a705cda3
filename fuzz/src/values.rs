//! What travels: every type of `dcnet`, receipts, and descriptors as JSON.

use std::cell::LazyCell;

use zipnet_dcnet::descriptor::{Descriptor, InstanceRef};
use zipnet_dcnet::ids::{ClientId, DeploymentId, PeerId};
use zipnet_dcnet::params::Params;
use zipnet_dcnet::signed::encode;

use crate::world::{World, world};

thread_local! {
    static WORLD: LazyCell<World> = const { LazyCell::new(world) };
}

/// The bytes as each type of the protocol: what decodes encodes to the same bytes, passes its checks or fails them, and
/// changes nothing when it fails.
pub(crate) fn wire(data: &[u8]) {
    WORLD.with(|world| world.take_all(data));
}

pub(crate) fn wire_seeds() -> Vec<Vec<u8>> {
    WORLD.with(|world| world.samples())
}

/// A receipt convinces of what was signed, or not at all.
pub(crate) fn receipt(data: &[u8]) {
    WORLD.with(|world| world.take_receipt(data));
}

pub(crate) fn receipt_seeds() -> Vec<Vec<u8>> {
    WORLD.with(|world| {
        let slots = world.record.record.messages.iter().map(|(slot, _)| *slot);
        let mut out: Vec<Vec<u8>> = slots.map(|slot| encode(&world.receipt(slot))).collect();
        let mut stacked = world.receipt(0);
        stacked.header = None;
        stacked.above = vec![world.record.clone()];
        out.push(encode(&stacked));
        out
    })
}

/// Descriptors, parameters, ids and instance names from text.
pub(crate) fn json(data: &[u8]) {
    if let Ok(descriptor) = serde_json::from_slice::<Descriptor>(data) {
        let again = serde_json::to_vec(&descriptor).unwrap();
        assert_eq!(serde_json::from_slice::<Descriptor>(&again).unwrap(), descriptor);
        assert_eq!(borsh::from_slice::<Descriptor>(&encode(&descriptor)).unwrap().id(), descriptor.id());
        if descriptor.check().is_ok() {
            assert!(descriptor.params.vector_bytes() <= 1 << 18, "a vector that fits no frame");
            assert!(descriptor.majority() <= descriptor.servers.len());
        }
    }
    let _ = serde_json::from_slice::<Params>(data);
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(instance) = text.parse::<InstanceRef>() {
        assert!(instance.name.len() <= 128);
    }
    if let Ok(id) = text.parse::<PeerId>() {
        assert_eq!(id.to_string().parse::<PeerId>().ok(), Some(id));
    }
    let _ = (text.parse::<ClientId>(), text.parse::<DeploymentId>());
}

pub(crate) fn json_seeds() -> Vec<Vec<u8>> {
    WORLD.with(|world| {
        let descriptor = &world.net.descriptor;
        vec![
            serde_json::to_vec(descriptor).unwrap(),
            serde_json::to_vec_pretty(descriptor).unwrap(),
            serde_json::to_vec(&descriptor.params).unwrap(),
            format!("acme.mainnet#{}", descriptor.id()).into_bytes(),
            descriptor.servers[0].to_string().into_bytes(),
        ]
    })
}
