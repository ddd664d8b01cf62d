//! Contenders that take turns, and how they compare.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

/// A number that was measured several times: its median, and between which values the middle half lies.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// A quarter is less.
    pub low: f64,
    /// A quarter is more.
    pub high: f64,
}

impl Spread {
    /// Of at least one sample.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let position = (samples.len().saturating_sub(1) as f64 * share).round() as usize;
            samples.get(position).copied().unwrap_or(f64::NAN)
        };
        Self { median: at(0.5), low: at(0.25), high: at(0.75) }
    }
}

/// Runs each contender in turn, so many times. The first round warms up and doesn't count. Returns the samples by contender.
pub fn take_turns<T>(
    rounds: usize,
    contenders: &mut [&mut dyn FnMut(usize) -> Result<T>],
) -> Result<Vec<Vec<T>>> {
    let mut samples: Vec<Vec<T>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            let sample = contender(round)?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

/// How the samples of one contender compare with another's of the same rounds.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> Spread {
    Spread::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
}

/// In milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
