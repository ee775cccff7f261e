//! Colours and their stand-ins. Without colour everything is still told apart: by signs, bold and reverse.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Theme {
    colour: bool,
}

/// More, and less: as on the command line, orange against blue.
const ORANGE: Color = Color::Indexed(208);
const BLUE: Color = Color::Indexed(39);

impl Theme {
    /// With or without colour.
    pub(in super::super) fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// Without.
    pub(in super::super) fn plain() -> Self {
        Self::new(false)
    }

    fn paint(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// The important part.
    pub(in super::super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The unimportant part.
    pub(in super::super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The frame of the panel that keys are about.
    pub(in super::super) fn current(self) -> Style {
        self.paint(Color::Cyan)
    }

    /// A panel's title.
    pub(in super::super) fn title(self, is_current: bool) -> Style {
        if is_current { self.current().add_modifier(Modifier::BOLD) } else { Style::new() }
    }

    /// The row under the cursor.
    pub(in super::super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Something to worry about.
    pub(in super::super) fn bad(self) -> Style {
        self.paint(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Nothing to worry about.
    pub(in super::super) fn good(self) -> Style {
        self.paint(Color::Green)
    }

    /// More of something.
    pub(in super::super) fn grown(self) -> Style {
        self.paint(ORANGE)
    }

    /// Less of something.
    pub(in super::super) fn shrunk(self) -> Style {
        self.paint(BLUE)
    }

    /// The line of what is allocated, and of CPU time.
    pub(in super::super) fn first(self) -> Style {
        self.paint(ORANGE)
    }

    /// The line of what is resident.
    pub(in super::super) fn second(self) -> Style {
        self.paint(BLUE)
    }

    /// The line of the limit.
    pub(in super::super) fn third(self) -> Style {
        self.paint(Color::Red)
    }
}
