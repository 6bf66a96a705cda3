use crate::net::{Faults, Net};
#[test]
fn dbg() {
    let mut net = Net::new(100, 3, 6);
    net.faults = Faults { loss: 20, twice: 20, delay: 300 };
    let mut last = String::new();
    while net.finals() < 12 {
        net.tick();
        let s = format!(
            "{:?}",
            net.state().round().map(|r| (
                r.header.round,
                r.quiet,
                r.stage(),
                r.doomed.clone(),
                r.missing().len(),
                r.fold.as_ref().map(|f| f.0.participants.count())
            ))
        );
        if s != last {
            eprintln!("{} {s} {:?}", net.now, net.abandoned());
            last = s;
        }
    }
    panic!();
}
