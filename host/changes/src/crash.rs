//! Places where a process may be killed or another one act. Tests make that happen; otherwise they are nothing.

use std::io;

/// Stands before each step that changes the disk, and after each file that was hashed.
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

    /// Runs something while somebody else acts before each step, whose number they are told.
    pub(crate) fn during<T>(mut act: impl FnMut(usize) + 'static, run: impl FnOnce() -> T) -> T {
        let mut steps = 0..;
        let meddle = move || {
            steps.next().map(&mut act);
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
