//! Everything at once: restarts, leader changes, lost links, late and lost entries, clients that come, go and start anew.

use crate::net::{Faults, Net};

fn chaos(seed: u64) {
    let servers = if seed.is_multiple_of(3) { 5 } else { 3 };
    let mut net = Net::new(seed, servers, 6);
    for _ in 0..40 {
        let pause = net.below(1_500);
        net.run(pause);
        let victim = net.below(servers.into()) as usize;
        let client = net.below(net.clients.len() as u64) as usize;
        match net.below(12) {
            0 | 1 if net.servers[victim].up => net.crash(victim),
            0..=2 if !net.servers[victim].up => net.restart(victim),
            3 => net.leader = net.servers[victim].up.then_some(victim).or(net.leader),
            4 => net.servers[victim].lag = net.below(2_000),
            5 => net.servers[victim].fuse = net.servers[victim].up.then_some(net.below(10) as u32),
            6 => {
                net.new_session(client);
            }
            7 => net.clients[client].up ^= true,
            8 if net.clients.len() < 9 => {
                net.newcomer();
            }
            9 => {
                let id = net.id(victim);
                net.clients[client].cut_off.push(id);
            }
            10 => {
                net.omit.insert(client);
            }
            _ => {
                let loss = net.below(25) as u32;
                let twice = net.below(25) as u32;
                let delay = net.below(500);
                net.faults = Faults { loss, twice, delay };
            }
        }
    }
    net.faults = Faults { delay: 40, ..Faults::default() };
    net.omit.clear();
    for i in 0..servers as usize {
        net.servers[i].lag = 0;
        net.servers[i].fuse = None;
        if !net.servers[i].up {
            net.restart(i);
        }
    }
    for client in &mut net.clients {
        client.up = true;
        client.cut_off.clear();
    }
    let (last, all) = (net.finals(), net.clients.len() as u32);
    net.within(90_000, "all take part again", |n| {
        n.finals() > last && n.last().servers.len() == servers as usize && n.last().count() == all
    });
    let said = net.published;
    net.rounds(3);
    assert!(net.published > said, "nothing is said");
    net.check_replay();
}

#[test]
fn after_any_trouble_all_take_part_again() {
    (0..8).for_each(chaos);
}
