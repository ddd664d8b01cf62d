//! The first signal stops the command cleanly, the second one at once. Either way no lock stays.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use lockkeeper_host::CancellationToken;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit;
use crate::ui::Ui;

/// What a signal acts on.
#[derive(Clone, Default)]
pub(crate) struct Signals {
    pub(crate) stop: CancellationToken,
    child: Arc<AtomicI32>,
    caught: Arc<AtomicU8>,
}

impl Signals {
    /// Starts listening.
    pub(crate) fn listen(ui: &Ui) -> std::io::Result<Self> {
        let signals = Self::default();
        for (kind, forwarded) in [
            (SignalKind::interrupt(), Signal::INT),
            (SignalKind::terminate(), Signal::TERM),
            (SignalKind::hangup(), Signal::HUP),
        ] {
            let mut stream = signal(kind)?;
            let (signals, ui) = (signals.clone(), ui.clone());
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    signals.caught(forwarded, &ui);
                }
            });
        }
        Ok(signals)
    }

    fn caught(&self, signal: Signal, ui: &Ui) {
        let number = u8::try_from(signal.as_raw()).unwrap_or(0);
        if self.caught.swap(number, Ordering::SeqCst) != 0 {
            std::process::exit(i32::from(exit::SIGNAL + number));
        }
        ui.note("stopping; once more to stop at once");
        self.stop.cancel();
        self.pass_on(signal);
    }

    fn pass_on(&self, signal: Signal) {
        // The terminal sends an interrupt to the child as well.
        let already = signal == Signal::INT && std::io::stdin().is_terminal();
        if let Some(pid) = Pid::from_raw(self.child.load(Ordering::SeqCst)).filter(|_| !already) {
            // The child may be gone by now.
            _ = kill_process(pid, signal);
        }
    }

    /// Names the child that signals are passed on to; `None` once it has ended.
    pub(crate) fn child(&self, pid: Option<u32>) {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        self.child.store(pid, Ordering::SeqCst);
        // One that came just before there was a child to pass it on to.
        if let Some(signal) = Signal::from_named_raw(i32::from(self.caught.load(Ordering::SeqCst))) {
            self.pass_on(signal);
        }
    }

    /// The exit code for the signal that was caught, if one was.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.caught.load(Ordering::SeqCst) {
            0 => None,
            number => Some(exit::SIGNAL + number),
        }
    }
}
