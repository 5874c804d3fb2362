//! The console driver as services see it.
