//! What a history of holds must look like.

use std::collections::BTreeMap;

use crate::client::Event;

/// A hold, from when it was had until its last write was sent.
#[derive(Debug, Clone, Copy)]
struct Span {
    number: u64,
    from: u64,
    to: u64,
}

/// Makes sure that no two holds overlap, and that later ones have higher numbers.
pub fn check(events: &[Event]) -> Result<(), String> {
    let mut spans: BTreeMap<u64, Span> = BTreeMap::new();
    for event in events {
        match *event {
            Event::Acquired { number, at } => {
                if spans.insert(number, Span { number, from: at, to: at }).is_some() {
                    return Err(format!("two holds have the number {number}"));
                }
            }
            Event::Wrote { number, at } => {
                let span = spans.get_mut(&number).ok_or_else(|| format!("{number} wrote before it held"))?;
                span.to = span.to.max(at);
            }
            Event::Lost { .. } | Event::Released { .. } => {}
        }
    }
    let mut by_time: Vec<Span> = spans.into_values().collect();
    by_time.sort_by_key(|span| span.from);
    for (earlier, later) in by_time.iter().zip(by_time.iter().skip(1)) {
        if earlier.to > later.from {
            return Err(format!("{earlier:?} still wrote when {later:?} had the lock"));
        }
        if earlier.number >= later.number {
            return Err(format!("{later:?} came after {earlier:?} with a lower number"));
        }
    }
    Ok(())
}

#[test]
fn a_history_with_an_overlap_or_a_number_that_shrinks_is_found() {
    let hold = |number, from, to| [Event::Acquired { number, at: from }, Event::Wrote { number, at: to }];
    assert!(check(&[hold(1, 0, 5), hold(2, 6, 9)].concat()).is_ok());
    assert!(check(&[hold(1, 0, 7), hold(2, 6, 9)].concat()).unwrap_err().contains("still wrote"));
    assert!(check(&[hold(3, 0, 5), hold(2, 6, 9)].concat()).unwrap_err().contains("lower number"));
    assert!(check(&[hold(2, 0, 5), hold(2, 6, 9)].concat()).unwrap_err().contains("two holds"));
}
