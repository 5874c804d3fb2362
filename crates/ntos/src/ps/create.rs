//! How processes and threads are made.
