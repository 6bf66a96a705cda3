//! How much may be under way on a connection.
//!
//! Cubic takes every lost packet for congestion: over 300 ms one way with 5 % loss it falls to five packets in flight, 11 KB
//! a second, which is less than the log of a small committee needs for a round. What a node sends is bounded by the rounds,
//! and not by what the network takes, so a round's worth may always be under way.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use noq_proto::RttEstimator;
use noq_proto::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};

/// Bytes that may be under way whatever was lost: an envelope, or a record, with the default parameters, and some.
const FLOOR_CLIENT: u64 = 32 * 1024;
/// The same for a server or an aggregator: the aggregate and the partials of a round of three servers.
const FLOOR_NODE: u64 = 80 * 1024;

/// Cubic that never falls below a floor.
#[derive(Debug)]
pub(super) struct Floored {
    floor: u64,
    cubic: Arc<CubicConfig>,
}

impl Floored {
    pub(super) fn new(client: bool) -> Self {
        Self { floor: if client { FLOOR_CLIENT } else { FLOOR_NODE }, cubic: Arc::default() }
    }
}

impl ControllerFactory for Floored {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Floor { floor: self.floor, inner: self.cubic.clone().build(now, current_mtu) })
    }
}

#[derive(Debug)]
struct Floor {
    floor: u64,
    inner: Box<dyn Controller>,
}

impl Controller for Floor {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.inner.on_sent(now, bytes, largest_pn);
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.inner.on_packet_sent(now, bytes, pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.inner.on_cwnd_limited();
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        pn: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        self.inner.on_congestion_event(
            now,
            sent,
            is_persistent_congestion,
            is_ecn,
            lost_bytes,
            largest_lost_pn,
        );
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.inner.on_packet_lost(lost_bytes, pn, now);
    }

    fn on_spurious_congestion_event(&mut self) {
        self.inner.on_spurious_congestion_event();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn on_ack_frequency_update(&mut self, ack_eliciting_threshold: u64, requested_max_ack_delay: Duration) {
        self.inner.on_ack_frequency_update(ack_eliciting_threshold, requested_max_ack_delay);
    }

    fn window(&self) -> u64 {
        self.inner.window().max(self.floor)
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { floor: self.floor, inner: self.inner.clone_box() })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_do_not_push_it_below_a_rounds_worth() {
        let start = Instant::now();
        for (client, floor) in [(true, FLOOR_CLIENT), (false, FLOOR_NODE)] {
            let mut floored = Arc::new(Floored::new(client)).build(start, 1_200);
            let mut cubic = Arc::new(CubicConfig::default()).build(start, 1_200);
            for n in 1..200 {
                let now = start + Duration::from_secs(n);
                for controller in [&mut floored, &mut cubic] {
                    controller.on_congestion_event(now, now, n % 2 == 0, false, 1_200, n);
                }
            }
            assert!(cubic.window() < 4 * 1_200, "{}", cubic.window());
            assert_eq!((floored.window(), floored.metrics().congestion_window), (floor, floor));
            assert_eq!(floored.clone_box().window(), floor);
        }
    }
}
