//! Profiles as SVG and HTML flame graphs, drawn with inferno.
