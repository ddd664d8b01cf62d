//! Places where a process may be killed. Tests end it there; otherwise they are nothing.

use std::io;

/// Stands before each step that changes the disk.
pub(crate) fn point() -> io::Result<()> {
    #[cfg(test)]
    injected::step()?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod injected {
    use std::cell::RefCell;
    use std::io;

    type Hook = Box<dyn FnMut() -> io::Result<()>>;

    thread_local!(static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) });

    /// Runs something that is cut off before its step number `steps`, counted from 0.
    pub(crate) fn after<T>(mut steps: usize, run: impl FnOnce() -> T) -> T {
        let cut = move || {
            let left = steps.checked_sub(1);
            steps = left.unwrap_or(0);
            left.map(drop).ok_or_else(|| io::Error::other("killed here"))
        };
        with(Box::new(cut), run)
    }

    /// Runs something while somebody else acts before its step number `steps`.
    pub(crate) fn during<T>(mut steps: usize, mut act: impl FnMut() + 'static, run: impl FnOnce() -> T) -> T {
        let meddle = move || {
            if steps == 0 {
                act();
            }
            steps = steps.wrapping_sub(1);
            Ok(())
        };
        with(Box::new(meddle), run)
    }

    fn with<T>(hook: Hook, run: impl FnOnce() -> T) -> T {
        HOOK.set(Some(hook));
        let result = run();
        HOOK.set(None);
        result
    }

    pub(super) fn step() -> io::Result<()> {
        HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook()))
    }
}
