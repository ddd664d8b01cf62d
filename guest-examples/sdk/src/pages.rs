//! Listings that come in pages.

use std::collections::VecDeque;

use futures_util::stream::{self, LocalBoxStream};

use crate::Result;

/// One page of a listing.
pub struct Page<T, C> {
    /// What it lists.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<C>,
}

/// Makes a stream of a listing that comes in pages. `fetch` gets where the page begins, `None` for the first one.
///
/// A page that can't be fetched is fetched again when the stream is polled again.
pub fn pages<'a, T: 'a, C: Clone + 'a>(
    fetch: impl AsyncFn(Option<C>) -> Result<Page<T, C>> + 'a,
) -> LocalBoxStream<'a, Result<T>> {
    struct State<T, C, F> {
        fetch: F,
        items: VecDeque<T>,
        /// The next page's beginning; absent when there is no next page.
        next: Option<Option<C>>,
    }
    let state = State { fetch, items: VecDeque::new(), next: Some(None) };
    Box::pin(stream::unfold(state, async |mut state| {
        loop {
            if let Some(item) = state.items.pop_front() {
                return Some((Ok(item), state));
            }
            match (state.fetch)(state.next.clone()?).await {
                Err(error) => return Some((Err(error), state)),
                Ok(page) => {
                    state.items = page.items.into();
                    state.next = page.next.map(Some);
                }
            }
        }
    }))
}
