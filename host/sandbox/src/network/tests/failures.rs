//! Failures: a guest learns what may be tried again, and never waits for ever.
