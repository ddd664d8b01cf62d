//! A sequence diagram as inline SVG: the guests, and the remote between them.

use maud::{Markup, html};

use super::steps::{Mark, Step, actors, shortened};

const ROW: usize = 26;
const TOP: usize = 44;
const LANE: usize = 420;
const MARGIN: usize = 60;
/// How many characters fit between two lanes, and beside the last one.
const FITS: usize = 58;
const RESULT: usize = 40;

pub(super) fn diagram(steps: &[Step]) -> Markup {
    let lanes = Lanes::of(steps);
    let height = TOP + steps.len() * ROW + 24;
    let width = lanes.results() + 280;
    html! {
        svg viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" {
            title { "Who did what to the remote, in order" }
            defs {
                marker #tip viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto" {
                    path d="M0 0 8 4 0 8z" {}
                }
            }
            @for (name, x) in lanes.all() {
                line.lane .remote[name == REMOTE] x1=(x) y1=(TOP - 14) x2=(x) y2=(height - 8) {}
                text.actor x=(x) y="20" { (name) }
            }
            @for (index, step) in steps.iter().enumerate() { (row(step, TOP + index * ROW + 16, &lanes)) }
        }
    }
}

fn row(step: &Step, y: usize, lanes: &Lanes<'_>) -> Markup {
    let (from, to) = (lanes.x(&step.actor), lanes.x(REMOTE));
    let kind = match step.mark {
        Mark::Plain if step.relevant => "relevant",
        Mark::Plain => "",
        Mark::Resumed => "resumed relevant",
        Mark::Failed => "failed",
        Mark::Killed => "killed",
    };
    let tip = if from < to { to - 6 } else { to + 6 };
    html! {
        g class={ "step " (kind) } {
            title { (step.number) ". " (step.actor) ": " (step.label) ": " (step.result) }
            text.number x="8" y=(y) { (step.number) }
            @if step.mark == Mark::Killed {
                text.cross x=(from) y=(y + 4) { "✗" }
            } @else {
                line.arrow x1=(from) y1=(y) x2=(tip) y2=(y) marker-end="url(#tip)" {}
                circle cx=(from) cy=(y) r="3" {}
            }
            text.label x=(usize::midpoint(from, to)) y=(y - 4) { (shortened(&step.label, FITS)) }
            text.result x=(lanes.results()) y=(y + 3) { (shortened(&step.result, RESULT)) }
        }
    }
}

const REMOTE: &str = "remote";

/// Where each guest and the remote stand.
struct Lanes<'a> {
    names: Vec<&'a str>,
}

impl<'a> Lanes<'a> {
    fn of(steps: &'a [Step]) -> Self {
        let mut names = actors(steps);
        names.sort_unstable();
        // The remote stands between the first guest and the others.
        names.insert(1.min(names.len()), REMOTE);
        Self { names }
    }

    fn all(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().enumerate().map(|(index, name)| (*name, MARGIN + index * LANE))
    }

    fn x(&self, actor: &str) -> usize {
        self.all().find(|(name, _)| *name == actor).map_or(MARGIN, |(_, x)| x)
    }

    fn results(&self) -> usize {
        MARGIN + self.names.len().saturating_sub(1) * LANE + 24
    }
}
