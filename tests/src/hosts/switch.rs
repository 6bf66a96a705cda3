//! The switch: reads what each host sends, and hands it to the host it is for as the path between them allows.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tappers::Tun;
use tokio::runtime::{Handle, Runtime};

use super::Path;

/// Longest packet.
const MTU: usize = 1_500;
/// Packets that are under way at a time; more are lost, as in any queue.
const UNDER_WAY: usize = 20_000;

pub(super) struct Switch {
    state: Mutex<State>,
}

struct State {
    ports: BTreeMap<Ipv4Addr, Arc<Tun>>,
    paths: BTreeMap<(Ipv4Addr, Ipv4Addr), Path>,
    all: Path,
    rng: ChaCha8Rng,
    under_way: usize,
    bytes: BTreeMap<(Ipv4Addr, Ipv4Addr), u64>,
}

impl Switch {
    pub(super) fn new() -> Self {
        let state = State {
            ports: BTreeMap::new(),
            paths: BTreeMap::new(),
            all: Path::default(),
            rng: ChaCha8Rng::seed_from_u64(5),
            under_way: 0,
            bytes: BTreeMap::new(),
        };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forwards what this host sends until its device is gone: a thread for each, because nothing else can wait for a
    /// device without unsafe code.
    pub(super) fn connect(self: Arc<Self>, runtime: &Runtime, addr: Ipv4Addr, tun: Tun) {
        let tun = Arc::new(tun);
        self.state().ports.insert(addr, tun.clone());
        let runtime = runtime.handle().clone();
        std::thread::spawn(move || {
            let mut packet = [0; MTU];
            while let Ok(len) = tun.recv(&mut packet) {
                self.forward(&runtime, &packet[..len]);
            }
        });
    }

    fn forward(self: &Arc<Self>, runtime: &Handle, packet: &[u8]) {
        let Some((from, to)) = ends(packet) else { return };
        let way = {
            let mut state = self.state();
            let path = *state.paths.get(&(from, to)).unwrap_or(&state.all);
            let (loss, jitter) = (state.rng.next_u32(), state.rng.next_u32());
            match (path.takes(loss, jitter), state.ports.get(&to).cloned()) {
                (Some(takes), Some(port)) if state.under_way < UNDER_WAY => {
                    state.under_way += usize::from(!takes.is_zero());
                    *state.bytes.entry((from, to)).or_default() += packet.len() as u64;
                    Some((takes, port))
                }
                _ => None,
            }
        };
        match way {
            Some((Duration::ZERO, port)) => drop(port.send(packet)),
            Some((takes, port)) => {
                let (this, packet) = (self.clone(), packet.to_vec());
                runtime.spawn(async move {
                    tokio::time::sleep(takes).await;
                    this.state().under_way -= 1;
                    drop(port.send(&packet));
                });
            }
            None => {}
        }
    }

    pub(super) fn bytes(&self, from: Ipv4Addr, to: Ipv4Addr) -> u64 {
        self.state().bytes.get(&(from, to)).copied().unwrap_or(0)
    }

    pub(super) fn set(&self, from: Ipv4Addr, to: Ipv4Addr, path: Path) {
        self.state().paths.insert((from, to), path);
    }

    pub(super) fn set_all(&self, path: Path) {
        self.state().all = path;
    }

    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.paths.clear();
        state.all = Path::default();
    }
}

/// Sender and receiver of an IPv4 packet.
fn ends(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let addr = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    (header[0] >> 4 == 4).then(|| (addr(12), addr(16)))
}
