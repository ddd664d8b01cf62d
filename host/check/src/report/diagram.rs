//! A sequence diagram as inline SVG: guests to the left and right, the remote's paths between them.

use maud::{Markup, html};

use super::text::shortened;
use super::{Mark, Step, printable};

const ROW: usize = 26;
const TOP: usize = 44;
const LANE: usize = 420;
const MARGIN: usize = 60;
/// How many characters fit between two lanes.
const FITS: usize = 58;

pub(super) fn diagram(steps: &[Step]) -> Markup {
    let lanes = Lanes::of(steps);
    let height = TOP + steps.len() * ROW + 24;
    let width = lanes.width();
    html! {
        svg viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" {
            title { "Who did what to the remote, in order" }
            defs {
                marker #tip viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse" {
                    path d="M0 0 8 4 0 8z" {}
                }
            }
            @for (name, x) in lanes.all() {
                line.lane .remote[name == REMOTE] x1=(x) y1=(TOP - 14) x2=(x) y2=(height - 8) {}
                text.actor x=(x) y="20" { (printable(name)) }
            }
            @for (index, step) in steps.iter().enumerate() {
                (row(step, index, TOP + index * ROW + 16, &lanes))
            }
        }
    }
}

fn row(step: &Step, index: usize, y: usize, lanes: &Lanes) -> Markup {
    let (from, to) = (lanes.x(&step.actor), lanes.x(REMOTE));
    let label = printable(&format!("{} {}", step.action(), step.place()));
    let result = printable(&step.result);
    let kind = match step.mark {
        Mark::Plain => "",
        Mark::Resumed => "resumed",
        Mark::Failed => "failed",
        Mark::Torn | Mark::Killed => "killed",
    };
    let tip = if from < to { to - 6 } else { to + 6 };
    html! {
        g class={ "step " (kind) } {
            title { (index + 1) ". " (step.actor) ": " (label) ": " (result) }
            text.number x="8" y=(y) { (index + 1) }
            @if step.mark == Mark::Killed {
                text.cross x=(from) y=(y + 4) { "✗" }
                text.label x=((from + to) / 2) y=(y - 4) { "killed before " (shortened(&label, FITS - 14)) }
            } @else {
                line.arrow x1=(from) y1=(y) x2=(tip) y2=(y) marker-end="url(#tip)" {}
                circle cx=(from) cy=(y) r="3" {}
                text.label x=((from + to) / 2) y=(y - 4) { (shortened(&label, FITS)) }
            }
            text.result x=(lanes.results()) y=(y + 3) { (shortened(&result, 40)) }
        }
    }
}

const REMOTE: &str = "remote";

/// Where each guest and the remote stand.
struct Lanes<'a> {
    actors: Vec<&'a str>,
}

impl<'a> Lanes<'a> {
    fn of(steps: &'a [Step]) -> Self {
        let mut actors: Vec<&str> = Vec::new();
        for step in steps {
            if !actors.contains(&step.actor.as_str()) {
                actors.push(&step.actor);
            }
        }
        // The remote stands between the first guest and the others.
        actors.insert(1.min(actors.len()), REMOTE);
        Self { actors }
    }

    fn all(&self) -> impl Iterator<Item = (&str, usize)> {
        self.actors.iter().enumerate().map(|(index, name)| (*name, MARGIN + index * LANE))
    }

    fn x(&self, actor: &str) -> usize {
        self.all().find(|(name, _)| *name == actor).map_or(MARGIN, |(_, x)| x)
    }

    fn results(&self) -> usize {
        MARGIN + self.actors.len().saturating_sub(1) * LANE + 24
    }

    fn width(&self) -> usize {
        self.results() + 280
    }
}
