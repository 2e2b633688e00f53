//! Colours, where a terminal shows them.

use std::io::IsTerminal;

/// How to mark text.
#[derive(Clone, Copy)]
pub struct Style {
    colored: bool,
}

impl Style {
    /// Colours on a terminal, unless `NO_COLOR` is set or one of the switches says otherwise.
    pub fn new(always: bool, never: bool) -> Style {
        let terminal = std::io::stdout().is_terminal() && anstream_allows();
        Style { colored: !never && (always || terminal) }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Errors.
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Good news.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Code: comments dimmed, labels and vector instructions marked.
    pub fn code(self, text: &str) -> String {
        if !self.colored {
            return text.to_string();
        }
        let line = |l: &str| match l {
            _ if l.trim_start().starts_with(';') => self.dim(l),
            _ if l.contains("xmm") || l.contains("ymm") || l.contains("zmm") => self.green(l),
            _ => l.to_string(),
        };
        text.lines().map(|l| line(l) + "\n").collect()
    }
}

/// False when the user has asked for no colours, by the convention of no-color.org or a dumb terminal.
fn anstream_allows() -> bool {
    !rusttorch_runtime::env::no_color()
}
