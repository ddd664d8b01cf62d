use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use lockkeeper_host::{Events, LogLevel};
use serde::Serialize;

use crate::failure::Failure;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Talks to the user: data on standard output, everything else on standard error.
#[derive(Clone)]
pub(crate) struct Ui {
    json: bool,
    verbose: bool,
    /// Hidden unless standard error is a terminal.
    bar: Arc<ProgressBar>,
}

impl Ui {
    pub(crate) fn new(json: bool, verbose: bool) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Self { json, verbose, bar: Arc::new(bar) }
    }

    pub(crate) fn json(&self) -> bool {
        self.json
    }

    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }

    /// Prints the command's data: the document with `--json`, else the text.
    pub(crate) fn data(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        self.done();
        let out =
            if self.json { escaped(&serde_json::to_string_pretty(document)?) } else { lines(&text(), "\n") };
        let out = out.trim_end();
        if out.is_empty() {
            return Ok(());
        }
        match writeln!(anstream::stdout(), "{out}") {
            // Whoever read the data has enough of it.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    pub(crate) fn note(&self, text: &str) {
        self.line(NOTE, "note", text);
    }

    pub(crate) fn warn(&self, text: &str) {
        self.line(WARNING, "warning", text);
    }

    /// Shows a failure, and returns its exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        self.show(failure);
        self.error_document(failure);
        ExitCode::from(failure.code)
    }

    /// Prints a failure as the command's data, if that is JSON.
    pub(crate) fn error_document(&self, failure: &Failure) {
        if self.json {
            let document = serde_json::json!({ "error": failure.report() });
            _ = self.data(&document, String::new);
        }
    }

    /// Shows a failure on standard error.
    pub(crate) fn show(&self, failure: &Failure) {
        self.done();
        self.line(ERROR, "error", &failure.message);
        if let Some(hint) = &failure.hint {
            self.line(NOTE, "next", hint);
        }
        if let Some(trace) = &failure.trace {
            self.line(NOTE, "trace", trace);
        }
    }

    /// Says on a terminal what is going on.
    pub(crate) fn status(&self, text: &str) {
        self.bar.set_message(text.to_owned());
        self.bar.tick();
    }

    /// Shows on a terminal which share of something is done, from 0 to 1.
    pub(crate) fn share(&self, share: f64, text: &str) {
        if self.bar.length().is_none()
            && let Ok(style) = ProgressStyle::with_template("{spinner} {bar:30} {percent:>3}%  {msg}")
        {
            self.bar.set_style(style);
            self.bar.set_length(1000);
        }
        self.bar.set_position((share * 1000.0) as u64);
        self.status(text);
    }

    fn line(&self, style: Style, label: &str, text: &str) {
        // Further lines are indented, so that what a guest says can't pass for another message.
        let text = lines(text, "\n  ");
        // Nothing can be done if standard error is gone.
        self.bar.suspend(|| _ = writeln!(anstream::stderr(), "{style}{label}:{style:#} {text}"));
    }

    fn done(&self) {
        self.bar.finish_and_clear();
    }
}

impl Events for Ui {
    fn log(&self, level: LogLevel, message: &str) {
        let (style, label) = match level {
            LogLevel::Debug if !self.verbose => return,
            LogLevel::Debug => (FAINT, "extension debug"),
            LogLevel::Info => (NOTE, "extension"),
            LogLevel::Warn => (WARNING, "extension warning"),
            LogLevel::Error => (ERROR, "extension error"),
        };
        self.line(style, label, &printable(message));
    }

    fn progress(&self, files: u64, bytes: u64, total_bytes: Option<u64>) {
        let total = total_bytes.map(|total| format!(" of {}", HumanBytes(total))).unwrap_or_default();
        self.bar.set_message(format!("{files} files, {}{total}", HumanBytes(bytes)));
        self.bar.tick();
    }
}

/// A guest's text without the control characters that would reach the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Text of several lines without the control characters that would reach the terminal.
fn lines(text: &str, between: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join(between)
}

/// A JSON document without the control characters that JSON lets pass.
fn escaped(document: &str) -> String {
    let escape = |c: char| match c {
        '\n' => c.to_string(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    document.chars().map(escape).collect()
}

/// Rows in columns as wide as they need to be, the first row being the head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_write_escape_sequences_to_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_message_of_several_lines_cannot_pass_for_several_messages() {
        assert_eq!(lines("a\u{9b}\nerror: b\r\n", "\n  "), "a\u{fffd}\n  error: b");
    }

    #[test]
    fn a_json_document_holds_no_control_characters() {
        let document = serde_json::to_string(&"a\u{1b}\u{9b}\u{7f}").unwrap();
        assert_eq!(escaped(&document), r#""a\u001b\u009b\u007f""#);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["name".to_owned(), "x".to_owned()], vec!["ü".to_owned(), "y".to_owned()]];
        assert_eq!(table(&rows), "name  x\nü     y\n");
    }
}
