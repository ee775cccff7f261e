//! The keys, apart from any terminal library, and what they do in words.

/// A key that the view knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A letter or sign.
    Char(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// The next panel.
    Tab,
    /// Shift and Tab: the one before.
    BackTab,
    /// Backspace.
    Backspace,
    /// A row up.
    Up,
    /// A row down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first row.
    Home,
    /// The last row.
    End,
    /// Ctrl-C, which raw mode delivers as a key.
    Interrupt,
}

/// Key and meaning, for the help.
pub(super) const MEANINGS: [(&str, &str); 13] = [
    ("q, Ctrl-C", "quit; the capture files written are then listed"),
    ("?", "this help; any key closes it"),
    ("Tab, 1 2 3 4", "the panel that the other keys are about: waterline, growers, tasks, CPU"),
    ("Enter", "that panel alone on the screen, and back"),
    ("Up Down", "move in the list; also k and j"),
    ("PageUp PageDown", "ten rows; Home and End: first and last"),
    ("s", "another order; in the waterline another span of time"),
    ("/", "filter: only rows with this text in the name; Enter keeps it"),
    ("Esc", "drops the filter"),
    ("f", "freeze: the picture stands still while the service is asked on"),
    ("b", "mark a baseline: growth counts from now"),
    ("c", "record CPU time for 5 s and show where it went"),
    ("w", "write the heap profile that is shown to a file (.pb.gz)"),
];
