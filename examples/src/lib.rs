//! Leaky programs, their innocent twins, and three ways to embed `diag`.
